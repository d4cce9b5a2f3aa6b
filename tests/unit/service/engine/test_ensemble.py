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


async def test_cancelling_the_ensemble_cancels_its_steps() -> None:
    reached = asyncio.Event()
    cancelled: list[str] = []

    async def run(step: PlannedStep, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(step.model)
        return {}

    task = asyncio.create_task(run_ensemble(FORK, INPUTS, run))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == ["head"]
