"""Runs the dataflow graph of an ensemble: each step as soon as what it reads is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set

from service.engine.base import Array
from service.engine.embedded.dataflow import EnsemblePlan, PlannedStep

StepRunner = Callable[[PlannedStep, Mapping[str, Array]], Awaitable[Mapping[str, Array]]]
"""Runs one step on arrays by the model's input names; gives arrays by the model's output names."""

ChainRunner = Callable[[Sequence[PlannedStep], dict[str, Array]], Awaitable[None]]
"""Runs steps one after the other; reads and writes ensemble tensors by name."""


async def run_ensemble(
    plan: EnsemblePlan,
    inputs: Mapping[str, Array],
    run_step: StepRunner,
    run_chain: ChainRunner,
) -> dict[str, Array]:
    """Run all steps, those that do not depend on each other side by side.

    Args:
        plan: The graph.
        inputs: The ensemble's inputs by name.
        run_step: How to run one step beside others.
        run_chain: How to run steps between which there is nothing to run side by side.

    Returns:
        Every tensor of the ensemble by name.

    Raises:
        Exception: Whatever the first step to fail raised; the steps that ran beside it are cancelled.
    """
    tensors = dict(inputs)
    waiting = dict(enumerate(plan.steps))
    finished: set[int] = set()
    running: dict[asyncio.Task[Mapping[str, Array]], int] = {}

    try:
        while waiting or running:
            if not running and (chain := _chain(waiting, finished)):
                await run_chain([waiting.pop(index) for index in chain], tensors)
                finished.update(chain)
                continue
            for index in [index for index, step in waiting.items() if step.after <= finished]:
                step = waiting.pop(index)
                running[asyncio.ensure_future(run_step(step, feed(step, tensors)))] = index
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index = running.pop(task)
                keep(plan.steps[index], task.result(), tensors)
                finished.add(index)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return tensors


def feed(step: PlannedStep, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """What a step reads, by the model's input names."""
    return {name: tensors[tensor] for name, tensor in step.inputs.items()}


def keep(step: PlannedStep, outputs: Mapping[str, Array], tensors: dict[str, Array]) -> None:
    """Put what a step wrote among the ensemble's tensors."""
    tensors.update({tensor: outputs[name] for name, tensor in step.outputs.items()})


def _chain(waiting: Mapping[int, PlannedStep], finished: Set[int]) -> list[int]:
    """The steps to come one after the other as long as only one at a time can run."""
    chain: list[int] = []
    while True:
        done = finished | set(chain)
        ready = [index for index, step in waiting.items() if index not in chain and step.after <= done]
        if len(ready) != 1:
            return chain
        chain += ready
