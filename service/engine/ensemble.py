"""Runs the dataflow graph of an ensemble: each step as soon as what it reads is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from service.engine.base import Array
from service.engine.dataflow import EnsemblePlan, PlannedStep

StepRunner = Callable[[PlannedStep, Mapping[str, Array]], Awaitable[Mapping[str, Array]]]
"""Runs one step on arrays by the model's input names; gives arrays by the model's output names."""


async def run_ensemble(
    plan: EnsemblePlan, inputs: Mapping[str, Array], run_step: StepRunner
) -> dict[str, Array]:
    """Run all steps, those that do not depend on each other side by side.

    Args:
        plan: The graph.
        inputs: The ensemble's inputs by name.
        run_step: How to run one step.

    Returns:
        Every tensor of the ensemble by name.

    Raises:
        Exception: Whatever the first step to fail raised; the steps that ran beside it are cancelled.
    """
    tensors = dict(inputs)
    waiting = dict(enumerate(plan.steps))
    finished: set[int] = set()
    running: dict[asyncio.Task[Mapping[str, Array]], int] = {}

    def finish(index: int, outputs: Mapping[str, Array]) -> None:
        tensors.update({tensor: outputs[name] for name, tensor in plan.steps[index].outputs.items()})
        finished.add(index)

    try:
        while waiting or running:
            ready = [index for index, step in waiting.items() if step.after <= finished]
            runs = [run_step(step, _feed(step, tensors)) for step in map(waiting.pop, ready)]
            if len(runs) == 1 and not running:
                # A task, and the wait for it, would cost the loop several turns at each link of a chain.
                finish(ready[0], await runs[0])
                continue
            running |= {asyncio.ensure_future(run): index for index, run in zip(ready, runs, strict=True)}
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                finish(running.pop(task), task.result())
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return tensors


def _feed(step: PlannedStep, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name: tensors[tensor] for name, tensor in step.inputs.items()}
