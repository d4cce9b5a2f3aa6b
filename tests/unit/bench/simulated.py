"""Trials that no service made: latencies by chance, of a known distribution."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.record import Load, Trial
from maskweave_bench.samples import OK, Sample, columns
from maskweave_bench.summary import summarize

LOAD = Load(kind="poisson", rate=50.0, seconds=20.0)


def latencies(
    random: np.random.Generator, number: int, *, median: float = 0.02, tail: float = 0.35
) -> NDArray[np.float64]:
    """Log-normal latencies that resemble their neighbours, as a service's do; seconds, `[number]`."""
    noise = random.standard_normal(number)
    for index in range(1, number):
        noise[index] = 0.5 * noise[index - 1] + np.sqrt(0.75) * noise[index]
    return median * np.exp(tail * noise)


def trial(
    random: np.random.Generator,
    *,
    target: str = "a",
    load: Load = LOAD,
    repeat: int = 0,
    slower: float = 1.0,
    run_to_run: float = 0.03,
    failing: float = 0.0,
    tail: float = 0.35,
    lag: float = 0.0,
) -> Trial:
    """A trial.

    Args:
        random: Decides it.
        target: Name of the target.
        load: The load.
        repeat: Which repeat it is.
        slower: Factor on all latencies.
        run_to_run: By how much the level of whole runs differs.
        failing: Share of requests that fail.
        tail: How wide latencies spread.
        lag: Seconds by which requests are sent late.
    """
    number = round((load.rate or 50) * load.seconds)
    due = np.sort(random.uniform(0, load.seconds, number))
    level = slower * float(np.exp(run_to_run * random.standard_normal()))
    waits = latencies(random, number, tail=tail) * level + lag
    codes = np.where(random.uniform(size=number) < failing, "RESOURCE_EXHAUSTED OVERLOADED", OK)
    samples = [
        Sample(
            index,
            0,
            time,
            time + lag,
            time + wait,
            str(code),
            {"total": 0.9 * (wait - lag), "decode": 0.1 * (wait - lag), "stage head": 0.6 * (wait - lag)}
            if code == OK
            else {},
            1,
            1000,
        )
        for index, (time, wait, code) in enumerate(
            zip(due.tolist(), waits.tolist(), codes.tolist(), strict=True)
        )
    ]
    return summarize(
        columns(samples),
        target=target,
        load=load,
        repeat=repeat,
        started=1e9,
        warmup_seconds=1.0,
        kinds=["synthesize"],
        processes=1,
        cpu=0.2,
        loop_busy=0.2,
        metrics={},
    )


@cache
def trials(seed: int, repeats: int = 5, **how: object) -> list[Trial]:
    """Repeats of a trial."""
    random = np.random.default_rng(seed)
    return [trial(random, repeat=number, **how) for number in range(repeats)]  # type: ignore[arg-type]
