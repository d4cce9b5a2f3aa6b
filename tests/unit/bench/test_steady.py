"""Warming up, steady states, drifts and stalls are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave_bench.samples import OK, SKIPPED_LATE, Sample, Samples, columns
from maskweave_bench.stalls import find_stalls
from maskweave_bench.steady import find_steady, mann_kendall, mser_cut


def load(latency: NDArray[np.float64], seconds: float = 20.0) -> Samples:
    due = np.linspace(0, seconds, latency.size, endpoint=False)
    return columns(
        [
            Sample(i, 0, d, d, d + x, OK)
            for i, (d, x) in enumerate(zip(due.tolist(), latency.tolist(), strict=True))
        ]
    )


def noise(seed: int, size: int = 1000) -> NDArray[np.float64]:
    return 0.02 * np.exp(0.2 * np.random.default_rng(seed).standard_normal(size))


def test_warming_up_is_cut_off() -> None:
    latency = noise(1)
    latency[:150] *= np.linspace(8, 1, 150)  # three seconds of twenty
    steady = find_steady(load(latency), 20, warmup_seconds=0.5)
    assert 2.0 <= steady.begin <= 4.5
    assert steady.state == "steady"


@pytest.mark.parametrize("seed", range(10))
def test_what_is_steady_from_the_begin_is_called_so(seed: int) -> None:
    steady = find_steady(load(noise(seed)), 20, warmup_seconds=1.0)
    assert steady.state == "steady"
    assert 1.0 <= steady.begin <= 10


def test_a_queue_that_grows_is_rising() -> None:
    assert find_steady(load(noise(1) * np.linspace(1, 30, 1000)), 20, warmup_seconds=0).state in {
        "rising",
        "unsettled",
    }
    late = noise(2)
    late[400:] *= np.linspace(1, 3, 600)
    assert find_steady(load(late), 20, warmup_seconds=0).state in {"rising", "unsettled"}


def test_a_stall_is_not_taken_for_warming_up() -> None:
    latency = noise(3)
    latency[700:750] += np.linspace(1, 0, 50)
    steady = find_steady(load(latency), 20, warmup_seconds=1)
    assert steady.begin < 10
    assert steady.state == "steady"


def test_few_requests_are_too_few() -> None:
    assert find_steady(load(noise(1, 8)), 20, warmup_seconds=1).state == "too short to tell"
    assert find_steady(columns([]), 20, warmup_seconds=1).state == "too short to tell"


def test_cut_is_where_the_level_is_reached() -> None:
    assert mser_cut(np.array([9.0, 5.0, 2.0, *np.tile([1.0, 1.1, 0.9], 10)])) == 3


def test_trend_test_knows_a_trend_from_noise() -> None:
    random = np.random.default_rng(1)
    assert mann_kendall(np.arange(20.0) + random.standard_normal(20)) < 1e-4
    assert sum(mann_kendall(random.standard_normal(30)) < 0.05 for _ in range(400)) / 400 == pytest.approx(
        0.05, abs=0.03
    )
    assert mann_kendall(np.ones(20)) == 1.0


def test_slow_requests_are_no_stall() -> None:
    assert find_stalls(load(np.full(40, 0.9))) == []
    assert find_stalls(load(noise(1))) == []


def test_nothing_asked_is_no_stall() -> None:
    early = [Sample(i, 0, i / 50, i / 50, i / 50 + 0.01, OK) for i in range(100)]
    late = [Sample(100 + i, 0, 9 + i / 50, 9 + i / 50, 9.01 + i / 50, OK) for i in range(100)]
    assert find_stalls(columns([*early, *late])) == []


def test_what_the_client_did_not_send_is_no_stall() -> None:
    answered = [Sample(i, 0, i / 50, i / 50, i / 50 + 0.01, OK) for i in range(100)]
    skipped = [Sample(100 + i, -1, 2 + i / 50, float("nan"), 5.0, SKIPPED_LATE) for i in range(100)]
    again = [Sample(300 + i, 0, 5 + i / 50, 5 + i / 50, 5.01 + i / 50, OK) for i in range(100)]
    assert find_stalls(columns([*answered, *skipped, *again])) == []


def test_what_failed_before_the_first_answer_is_not_cut_off() -> None:
    failed = [Sample(i, 0, i / 50, i / 50, i / 50 + 0.01, "UNAVAILABLE") for i in range(500)]
    answered = [Sample(500 + i, 0, 10 + i / 50, 10 + i / 50, 10.02 + i / 50, OK) for i in range(500)]
    assert find_steady(columns([*failed, *answered]), 20, warmup_seconds=1).begin == 1
