from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import summarize

DURATIONS = st.lists(st.floats(0, 1e3), min_size=1, max_size=300)


def test_summary_of_a_hundred_known_durations() -> None:
    summary = summarize(value / 1000 for value in range(100, 0, -1))
    assert summary.count == 100
    assert summary.mean == pytest.approx(0.0505)
    assert (summary.p50, summary.p90, summary.p99, summary.max) == (0.050, 0.090, 0.099, 0.100)


@given(DURATIONS)
def test_percentiles_are_measured_values_in_order(durations: list[float]) -> None:
    summary = summarize(durations)
    assert {summary.p50, summary.p90, summary.p99, summary.max} <= set(durations)
    assert min(durations) <= summary.p50 <= summary.p90 <= summary.p99 <= summary.max == max(durations)
    at_most_median = sum(value <= summary.p50 for value in durations)
    assert at_most_median * 2 >= len(durations)


@given(DURATIONS, st.randoms())
def test_order_does_not_matter(durations: list[float], random: Random) -> None:
    shuffled = random.sample(durations, len(durations))
    first, second = summarize(durations), summarize(shuffled)
    assert (first.count, first.p50, first.p90, first.p99, first.max) == (
        second.count,
        second.p50,
        second.p90,
        second.p99,
        second.max,
    )
    assert first.mean == pytest.approx(second.mean)


@pytest.mark.parametrize("durations", [[], [0.1, -0.1], [float("nan")], [float("inf"), 1.0]])
def test_nonsense_is_refused(durations: list[float]) -> None:
    with pytest.raises(ValueError, match="durations"):
        summarize(durations)
