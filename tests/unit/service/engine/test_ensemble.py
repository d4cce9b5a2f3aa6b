import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from service.engine.base import Array
from service.engine.dataflow import EnsemblePlan, PlannedStep
from service.engine.ensemble import run_ensemble


def _step(name: str, reads: str, writes: str, *after: int) -> PlannedStep:
    return PlannedStep(name, 1, {"IN": reads}, {"OUT": writes}, frozenset(after))


FORK = EnsemblePlan((_step("head", "IN", "h"), _step("left", "h", "a", 0), _step("right", "h", "b", 0)))
INPUTS = {"IN": np.ones(1)}


async def test_branches_run_side_by_side() -> None:
    meeting = asyncio.Barrier(2)

    async def run(step: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        if step.model != "head":
            await meeting.wait()  # passes only when both branches are there
        return {"OUT": feed["IN"] + 1}

    async with asyncio.timeout(10):
        tensors = await run_ensemble(FORK, INPUTS, run)
    assert {name: float(array[0]) for name, array in tensors.items()} == {"IN": 1, "h": 2, "a": 3, "b": 3}


async def test_a_failing_step_cancels_the_steps_beside_it_and_starts_none_after_it() -> None:
    started: list[str] = []
    cancelled: list[str] = []

    async def run(step: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        started.append(step.model)
        if step.model == "left":
            raise ValueError("left failed")
        if step.model == "right":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(step.model)
                raise
        return {"OUT": feed["IN"]}

    plan = EnsemblePlan((*FORK.steps, _step("tail", "a", "OUT", 1)))
    with pytest.raises(ValueError, match="left failed"):
        await run_ensemble(plan, INPUTS, run)
    assert started == ["head", "left", "right"]
    assert cancelled == ["right"]


@pytest.mark.parametrize("waiting", [{"head"}, {"left", "right"}], ids=["a_step_alone", "steps_side_by_side"])
async def test_cancelling_the_ensemble_cancels_its_steps(waiting: set[str]) -> None:
    reached = asyncio.Semaphore(0)
    cancelled: set[str] = set()

    async def run(step: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        if step.model in waiting:
            reached.release()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.add(step.model)
        return {"OUT": feed["IN"]}

    task = asyncio.create_task(run_ensemble(FORK, INPUTS, run))
    for _ in waiting:
        await reached.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == waiting


async def test_a_chain_runs_in_its_caller_s_task() -> None:
    """Every task of its own would cost each link of the chain turns of the event loop."""
    tasks = []

    async def run(_: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        return {"OUT": feed["IN"]}

    chain = EnsemblePlan((_step("head", "IN", "h"), _step("body", "h", "m", 0), _step("tail", "m", "OUT", 1)))
    await run_ensemble(chain, INPUTS, run)
    assert tasks == [asyncio.current_task()] * 3
