"""A planted regression is caught, noise is not: on simulated runs with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest

from maskweave_bench.bootstrap import Blocks, paired_interval, student_quantile
from maskweave_bench.compare import Comparison, NotComparableError, Verdict, compare, differences, overall
from maskweave_bench.record import Load, Trial
from maskweave_bench.results import Results
from tests.unit.bench.simulated import LOAD, trial, trials

pytestmark = pytest.mark.timeout(600)  # sums of many simulated runs, on whatever machine

SEEDS = range(5)


def verdict(baseline: list[Trial], candidate: list[Trial]) -> Verdict:
    return overall(compare(baseline, candidate))


def figure(comparisons: list[Comparison], name: str) -> Comparison:
    return next(each for each in comparisons if each.figure == name)


def test_a_quarter_slower_is_caught() -> None:
    caught = [verdict(trials(seed), trials(1000 + seed, slower=1.25)) for seed in SEEDS]
    assert caught.count("worse") == len(SEEDS)


def test_noise_is_not_called_worse() -> None:
    called = [verdict(trials(seed), trials(1000 + seed)) for seed in SEEDS]
    assert called.count("worse") == 0
    assert called.count("better") <= 1


def test_large_noise_from_run_to_run_is_not_called_worse() -> None:
    # Within each run everything looks certain; only the repeats tell that it is not.
    called = [verdict(trials(seed, run_to_run=0.2), trials(1000 + seed, run_to_run=0.2)) for seed in SEEDS]
    assert called.count("worse") <= 1


def test_a_slower_tail_alone_is_caught() -> None:
    comparisons = compare(trials(1), trials(2, tail=0.6))
    assert figure(comparisons, "p50").verdict != "worse"
    assert figure(comparisons, "p99").verdict == "worse"
    assert overall(comparisons) == "worse"


def test_failures_alone_are_caught() -> None:
    errors = figure(compare(trials(1), trials(2, failing=0.02)), "errors")
    assert errors.verdict == "worse"
    assert errors.change.estimate == pytest.approx(0.02, abs=0.006)


def test_faster_is_better_and_the_change_is_what_was_planted() -> None:
    comparisons = compare(trials(1), trials(2, slower=0.7))
    assert overall(comparisons) == "better"
    change = figure(comparisons, "p50").change
    assert change.low < 0.7 < change.high
    assert change.estimate == pytest.approx(0.7, rel=0.05)


def test_many_quiet_repeats_tell_that_nothing_changed() -> None:
    same = figure(compare(trials(1, 12, run_to_run=0.005), trials(2, 12, run_to_run=0.005)), "p50")
    assert same.verdict == "same"


def test_throughput_of_closed_loops_is_judged() -> None:
    load = Load(kind="closed", clients=4, seconds=20.0)

    def closed(seed: int, rate: float) -> list[Trial]:
        random = np.random.default_rng(seed)
        each = [
            trial(random, load=LOAD.model_copy(update={"rate": rate}), repeat=number) for number in range(5)
        ]
        return [one.model_copy(update={"load": load}) for one in each]

    assert figure(compare(closed(1, 60), closed(2, 40)), "requests/s").verdict == "worse"
    assert figure(compare(closed(1, 40), closed(2, 60)), "requests/s").verdict == "better"


def test_few_repeats_at_several_loads_tell_together() -> None:
    loads = [LOAD.model_copy(update={"rate": rate}) for rate in (30.0, 50.0, 70.0)]

    def measured(seed: int, slower: float) -> list[Trial]:
        return [
            one
            for number, load in enumerate(loads)
            for one in trials(seed + number, 3, load=load, slower=slower)
        ]

    assert verdict(measured(10, 1.0), measured(20, 1.0)) != "worse"
    assert verdict(measured(10, 1.0), measured(20, 1.4)) == "worse"


def test_one_pair_tells_nothing_for_certain() -> None:
    assert verdict(trials(1, 1), trials(2, 1, slower=3)) == "cannot tell"


def test_too_few_requests_tell_nothing_of_the_tail() -> None:
    short = Load(kind="poisson", rate=10.0, seconds=5.0)
    assert figure(compare(trials(1, load=short), trials(2, load=short)), "p99").verdict == "cannot tell"


def test_trials_in_which_the_client_was_the_limit_do_not_count() -> None:
    late = trials(2, lag=0.05)
    assert not any(each.counts for each in late)
    with pytest.raises(NotComparableError, match="no pair of trials"):
        compare(trials(1), late)


def test_other_loads_are_not_compared() -> None:
    other = LOAD.model_copy(update={"rate": 60.0})
    with pytest.raises(NotComparableError, match="no pair"):
        compare(trials(1), trials(2, load=other))


def test_other_machines_and_scenarios_are_named() -> None:
    def results(cpu: str, seed: int) -> Results:
        return Results(
            version="1",
            created="",
            command=[],
            scenario={"seed": seed},
            environment={"cpu": cpu},
            targets=[],
            trials=[],
        )

    assert differences(results("fast", 1), results("fast", 1)) == []
    found = differences(results("fast", 1), results("slow", 2))
    assert any("scenarios differ" in line for line in found)
    assert "the clients' cpu differ: fast and slow" in found


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),  # from tables of Student's distribution
    [(0.975, 1, 12.706), (0.975, 4, 2.776), (0.95, 10, 1.812), (0.995, 30, 2.750), (0.975, 1000, 1.962)],
)
def test_student_quantiles(probability: float, degrees: int, value: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(value, rel=5e-4)


@pytest.mark.parametrize("pairs", [3, 5])
def test_intervals_cover_the_truth_as_often_as_they_say(pairs: int) -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        estimates = random.normal(0, 1, pairs)
        interval = paired_interval(
            estimates, np.repeat(estimates[:, None], 200, axis=1), confidence=0.9, random=random
        )
        covered += interval.low <= 0 <= interval.high
    assert 0.86 <= covered / 200 <= 0.94


def test_percentiles_of_blocks_are_nearest_rank() -> None:
    random = np.random.default_rng(1)
    parts = [np.sort(random.integers(1, 50, size).astype(np.float64)) for size in (10, 35, 0, 60)]
    blocks = Blocks.of([np.unique(part, return_counts=True) for part in parts])
    every = np.concatenate(parts)
    for percent in (1, 50, 90, 99, 100):
        expected = np.percentile(every, percent, method="inverted_cdf")
        assert blocks.percentile(percent) == expected
