"""The search for the knee, on a queue whose knee is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from maskweave_bench.knee import Knee, KneeSearch, KneeTarget, KneeTrial

pytestmark = pytest.mark.timeout(600)  # sums of many simulated runs, on whatever machine

TARGET = KneeTarget(0.1)
CAPACITY = 100.0


def queue_p99(rate: float) -> float:
    """99th percentile of the sojourn time in a queue M/M/1 of the capacity, in seconds."""
    return math.log(100) / (CAPACITY - rate) if rate < CAPACITY else 60.0


TRUE_KNEE = CAPACITY - math.log(100) / TARGET.seconds


def search(measure: Callable[[float], KneeTrial], **how: float) -> tuple[Knee, KneeSearch]:
    found = KneeSearch(TARGET, how.pop("first_rate", 8.0), **how)  # type: ignore[arg-type]
    for _ in range(500):
        rate = found.next_rate()
        if rate is None:
            return found.result(), found
        found.tell(rate, measure(rate))
    raise AssertionError("the search does not end")


def exact(rate: float) -> KneeTrial:
    return KneeTrial(queue_p99(rate), 1000, 0)


@pytest.mark.parametrize("first_rate", [0.2, 8.0, 50.0, 1000.0])
def test_the_knee_is_found_from_below_and_above(first_rate: float) -> None:
    knee, _ = search(exact, first_rate=first_rate)
    assert knee.end == "found"
    assert knee.rate <= TRUE_KNEE <= knee.rate * 1.05
    assert knee.interval.low <= TRUE_KNEE <= knee.interval.high


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_the_interval_has_the_knee_in_spite_of_noise(noise: float) -> None:
    inside = 0
    for seed in range(12):
        random = np.random.default_rng(seed)

        def noisy(rate: float, random: np.random.Generator = random) -> KneeTrial:
            return KneeTrial(queue_p99(rate) * float(np.exp(noise * random.standard_normal())), 1000, 0)

        knee, _ = search(noisy, repeats=5)
        assert knee.interval.low <= knee.rate <= knee.interval.high
        assert knee.rate == pytest.approx(TRUE_KNEE, rel=0.5)
        inside += knee.interval.low * 0.99 <= TRUE_KNEE <= knee.interval.high * 1.01
    assert inside >= 9


def test_hopeless_rates_cost_one_trial() -> None:
    _, state = search(exact, first_rate=1000.0)
    assert len(state.trials[1000.0]) == 1
    assert all(len(trials) == 3 for rate, trials in state.trials.items() if rate < TRUE_KNEE)


def test_errors_decide_too() -> None:
    knee, _ = search(lambda rate: KneeTrial(0.01, 10_000, 11 if rate > 40 else 9))
    assert knee.rate <= 40 <= knee.rate * 1.05


def test_a_queue_that_grows_does_not_keep_the_target() -> None:
    knee, _ = search(lambda rate: KneeTrial(0.05, 1000, 0, settled=rate <= 40))
    assert knee.rate <= 40 <= knee.rate * 1.05


def test_nothing_answered_is_a_failure() -> None:
    knee, _ = search(lambda rate: KneeTrial(math.inf, 100, 100))
    assert (knee.rate, knee.end) == (0.0, "no rate kept the target")


def test_the_client_as_the_limit_ends_the_search_and_is_said() -> None:
    knee, state = search(lambda rate: KneeTrial(0.01, 1000, 0, counts=rate < 60))
    assert knee.end == "the client was the limit"
    assert knee.rate == 32.0
    assert math.isinf(knee.interval.high)
    assert max(state.trials) == 64.0
    assert len(state.trials[64.0]) == 2


def test_a_client_that_was_held_up_once_costs_one_trial() -> None:
    seen: list[float] = []

    def held_up_at_the_first(rate: float) -> KneeTrial:
        seen.append(rate)
        return KneeTrial(queue_p99(rate), 1000, 0, counts=seen.count(rate) != 1)

    knee, state = search(held_up_at_the_first)
    assert knee.end == "found"
    assert knee.rate <= TRUE_KNEE <= knee.rate * 1.05
    assert len(state.trials[8.0]) == 4


def test_a_service_beyond_all_rates_is_told() -> None:
    knee, _ = search(lambda rate: KneeTrial(0.01, 1000, 0), highest_rate=500.0)
    assert (knee.rate, knee.end) == (500.0, "all rates kept the target")
    assert math.isinf(knee.interval.high)


def test_the_number_of_trials_is_bounded() -> None:
    knee, state = search(exact, max_trials=7)
    assert sum(map(len, state.trials.values())) == 7
    assert knee.end == "out of trials"


def test_a_rate_that_keeps_above_one_that_fails_is_an_accident() -> None:
    found = KneeSearch(TARGET, 10.0, repeats=1)
    for rate, latency in ((10.0, 0.05), (20.0, 0.2), (40.0, 0.05)):
        found.tell(rate, KneeTrial(latency, 1000, 0))
    assert found.result().rate == 10.0
