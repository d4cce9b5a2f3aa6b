"""What the latency benchmark does: bare models, one client, more and more clients, bare models again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_model import Arrays, BareEnsemble
from benchmarks.closed_loop import LoopResult, closed_loop
from benchmarks.samples import Sample
from benchmarks.stats import Load, Summary, saturation, summarize

SendRequest = Callable[[int], Awaitable[Sample]]
"""Sends a request for one picture with the seed given, and tells what it cost."""

REPEATED_SEED = 0
FIRST_NEW_SEED = 1


@dataclass(frozen=True, slots=True)
class BareModels:
    """The models of the ensemble without a service.

    Attributes:
        before: All stages of a picture together, before the service was put under load.
        after: The same afterwards. Much unlike `before`, it says that the machine was disturbed.
        stages: Each stage, before.
        per_second: Pictures per second on as many threads as the engine has.
    """

    before: Summary
    after: Summary
    stages: Mapping[str, Summary]
    per_second: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that one run of the benchmark measured.

    Attributes:
        threads: Threads of the engine and of the bare models.
        bare: The bare models.
        new_seed: One client; every request has a seed that was not there before.
        repeated_seed: One client; every request has the same seed, so that the generator's head is cached.
        sweep: By number of clients, with new seeds.
        saturated_at: The least number of clients that saturates the service.
    """

    threads: int
    bare: BareModels
    new_seed: LoopResult[Sample]
    repeated_seed: LoopResult[Sample]
    sweep: Sequence[LoopResult[Sample]]
    saturated_at: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard to measure.

    Attributes:
        clients: Numbers of clients of the sweep.
        seconds: Measured duration of each load.
        warmup_seconds: The same load before it.
        bare_passes: Passes through the bare models, before and after each.
    """

    clients: Sequence[int] = (1, 2, 4, 8, 16)
    seconds: float = 8.0
    warmup_seconds: float = 2.0
    bare_passes: int = 500


async def measure(
    send: SendRequest,
    bare_models: BareEnsemble,
    inputs: Arrays,
    *,
    threads: int,
    plan: Plan,
    announce: Callable[[str], object],
) -> Measurement:
    """Run the whole benchmark.

    Args:
        send: Sends a request to the service.
        bare_models: The ensemble that the service runs.
        inputs: Inputs for a picture, with the batch dimension.
        threads: Threads that the service's engine and the bare models use.
        plan: How long and how hard.
        announce: Is told what is being measured.

    Raises:
        ExceptionGroup: A request failed.
    """
    seeds = iter(range(FIRST_NEW_SEED, 2**32))

    async def new_seed(_: int) -> Sample:
        return await send(next(seeds))

    async def repeated_seed(_: int) -> Sample:
        return await send(REPEATED_SEED)

    async def load(what: str, request: SendRequest, clients: int) -> LoopResult[Sample]:
        announce(f"{what}, clients: {clients}")
        return await closed_loop(
            request, clients=clients, seconds=plan.seconds, warmup_seconds=plan.warmup_seconds
        )

    announce("bare models")
    bare_before = _bare_passes(bare_models, inputs, plan.bare_passes)
    alone = await load("new seeds", new_seed, 1)
    again = await load("repeated seed", repeated_seed, 1)
    sweep = [await load("new seeds", new_seed, clients) for clients in plan.clients]
    announce("bare models again")
    bare_after = _bare_passes(bare_models, inputs, plan.bare_passes)
    return Measurement(
        threads=threads,
        bare=BareModels(
            before=summarize(sum(stages.values()) for stages in bare_before),
            after=summarize(sum(stages.values()) for stages in bare_after),
            stages={name: summarize(stages[name] for stages in bare_before) for name in bare_before[0]},
            per_second=bare_models.throughput(inputs, threads=threads, seconds=plan.seconds),
        ),
        new_seed=alone,
        repeated_seed=again,
        sweep=sweep,
        saturated_at=saturation([Load(loop.clients, loop.per_second) for loop in sweep]).clients,
    )


def _bare_passes(models: BareEnsemble, inputs: Arrays, passes: int) -> list[Mapping[str, float]]:
    warmup = passes // 10
    return [models.run(inputs).stage_seconds for _ in range(warmup + passes)][warmup:]


def example_inputs(models: BareEnsemble, label_map: NDArray[np.uint8], latent_scale: float) -> Arrays:
    """Inputs of an ensemble that takes a label map, a latent and the style strength.

    Args:
        models: The ensemble.
        label_map: Class ids `[H, W]` in the ensemble's own size.
        latent_scale: Standard deviation of the latent.
    """
    shapes = models.input_shapes
    random = np.random.RandomState(FIRST_NEW_SEED)
    return {
        "LABEL_MAP": label_map[None],
        "LATENT": (random.standard_normal((1, *shapes["LATENT"])) * latent_scale).astype(np.float32),
        "STYLE_STRENGTH": np.full((1, *shapes["STYLE_STRENGTH"]), 0.5, np.float32),
    }
