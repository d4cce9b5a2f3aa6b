"""How often `compare` and `knee` are wrong: simulated runs whose truth is known, with seeds of their own.

python -m tests.unit.bench.error_rates --runs 200 --output docs/figures/error_rates.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from maskweave_bench.compare import compare, overall
from maskweave_bench.knee import KneeSearch, KneeTarget, KneeTrial
from tests.unit.bench.simulated import trial

CAPACITY = 100.0
TARGET = KneeTarget(0.1)
TRUE_KNEE = CAPACITY - math.log(100) / TARGET.seconds
"""Of a queue M/M/1, whose 99th percentile is ln 100 / (capacity - rate)."""

CASES: dict[str, dict[str, float]] = {
    "no change, runs differ by 3 %": {"slower": 1.0, "run_to_run": 0.03},
    "no change, runs differ by 10 %": {"slower": 1.0, "run_to_run": 0.1},
    "10 % slower, runs differ by 3 %": {"slower": 1.1, "run_to_run": 0.03},
    "15 % slower, runs differ by 3 %": {"slower": 1.15, "run_to_run": 0.03},
    "25 % slower, runs differ by 3 %": {"slower": 1.25, "run_to_run": 0.03},
    "25 % slower, runs differ by 10 %": {"slower": 1.25, "run_to_run": 0.1},
}


@dataclass(frozen=True)
class CompareRate:
    """How often a comparison of five pairs of runs ended with each verdict, as shares of the runs."""

    case: str
    runs: int
    worse: float
    better: float
    same: float
    cannot_tell: float


@dataclass(frozen=True)
class KneeRate:
    """How often the interval of a knee had the true one, and how wide it was, as a share of it."""

    noise: float
    runs: int
    covered: float
    width: float


def compare_rate(case: str, runs: int, first_seed: int) -> CompareRate:
    """Compare simulated runs over and over."""
    how = CASES[case]
    verdicts = []
    for seed in range(first_seed, first_seed + runs):
        random = np.random.default_rng([seed, len(case)])
        old = [trial(random, repeat=number, run_to_run=how["run_to_run"]) for number in range(5)]
        new = [
            trial(random, repeat=number, run_to_run=how["run_to_run"], slower=how["slower"])
            for number in range(5)
        ]
        verdicts.append(overall(compare(old, new, seed=seed)))
    shares = {name: verdicts.count(name) / runs for name in ("worse", "better", "same", "cannot tell")}
    return CompareRate(case, runs, shares["worse"], shares["better"], shares["same"], shares["cannot tell"])


def knee_rate(noise: float, runs: int, first_seed: int) -> KneeRate:
    """Search for a knee that is known, over and over."""
    covered, width = 0, 0.0
    for seed in range(first_seed, first_seed + runs):
        random = np.random.default_rng([seed, round(noise * 100)])
        search = KneeSearch(TARGET, 8.0, repeats=5)
        while (rate := search.next_rate()) is not None:
            p99 = math.log(100) / (CAPACITY - rate) if rate < CAPACITY else 60.0
            search.tell(rate, KneeTrial(p99 * float(np.exp(noise * random.standard_normal())), 1000, 0))
        interval = search.result().interval
        covered += interval.low <= TRUE_KNEE <= interval.high
        width += (min(interval.high, 4 * TRUE_KNEE) - interval.low) / TRUE_KNEE
    return KneeRate(noise, runs, covered / runs, width / runs)


def main(arguments: list[str], tell: Callable[[str], object] = print) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=50_000)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    compared = []
    for case in CASES:
        compared.append(asdict(compare_rate(case, given.runs, given.first_seed)))
        tell(str(compared[-1]))
    knees = [asdict(knee_rate(noise, given.runs, given.first_seed)) for noise in (0.1, 0.3)]
    figures = {
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": f"python -m tests.unit.bench.error_rates --runs {given.runs} "
        f"--first-seed {given.first_seed} --output {given.output}",
        "compare": compared,
        "knee": knees,
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
