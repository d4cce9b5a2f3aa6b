import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from service.engine.base import Array
from service.engine.embedded.dataflow import EnsemblePlan, PlannedStep
from service.engine.embedded.ensemble import ChainRunner, StepRunner, feed, keep, run_ensemble


def _step(name: str, reads: str, writes: str, *after: int) -> PlannedStep:
    return PlannedStep(name, 1, {"IN": reads}, {"OUT": writes}, frozenset(after))


def one_by_one(run: StepRunner) -> ChainRunner:
    """Runs a chain as single steps."""

    async def run_chain(steps: Sequence[PlannedStep], tensors: dict[str, Array]) -> None:
        for step in steps:
            keep(step, await run(step, feed(step, tensors)), tensors)

    return run_chain


FORK = EnsemblePlan((_step("head", "IN", "h"), _step("left", "h", "a", 0), _step("right", "h", "b", 0)))
INPUTS = {"IN": np.ones(1)}


async def test_branches_run_side_by_side() -> None:
    meeting = asyncio.Barrier(2)

    async def run(step: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        if step.model != "head":
            await meeting.wait()  # passes only when both branches are there
        return {"OUT": feed["IN"] + 1}

    async with asyncio.timeout(10):
        tensors = await run_ensemble(FORK, INPUTS, run, one_by_one(run))
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
        await run_ensemble(plan, INPUTS, run, one_by_one(run))
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

    task = asyncio.create_task(run_ensemble(FORK, INPUTS, run, one_by_one(run)))
    for _ in waiting:
        await reached.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == waiting


async def test_steps_between_which_nothing_runs_side_by_side_are_run_as_chains() -> None:
    chains: list[list[str]] = []

    async def run(step: PlannedStep, given: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"OUT": next(iter(given.values()))}

    async def run_chain(steps: Sequence[PlannedStep], tensors: dict[str, Array]) -> None:
        chains.append([step.model for step in steps])
        await one_by_one(run)(steps, tensors)

    join = PlannedStep("join", 1, {"A": "a", "B": "b"}, {"OUT": "j"}, frozenset({2, 3}))
    plan = EnsemblePlan(
        (
            _step("first", "IN", "f"),
            _step("head", "f", "h", 0),
            _step("left", "h", "a", 1),
            _step("right", "h", "b", 1),
            join,
            _step("tail", "j", "OUT", 4),
        )
    )
    tensors = await run_ensemble(plan, INPUTS, run, run_chain)
    assert chains == [["first", "head"], ["join", "tail"]]
    assert "OUT" in tensors
