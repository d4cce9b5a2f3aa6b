"""Samples as columns, histograms and summaries: nothing is lost on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskweave_bench.histogram import Histogram, HistogramError, enough
from maskweave_bench.record import ClientUse, Load
from maskweave_bench.samples import OK, SKIPPED_LATE, SKIPPED_OUTSTANDING, Sample, columns, merge
from maskweave_bench.stages import LAG, NETWORK, OTHER, break_down
from maskweave_bench.summary import client_limits
from tests.support.trials import trial_of
from tests.unit.bench.simulated import trial

durations = st.lists(st.floats(1e-6, 3600, allow_nan=False), min_size=1, max_size=200)


@given(durations)
def test_histogram_keeps_percentiles_to_three_digits(seconds: list[float]) -> None:
    values = np.array(seconds)
    histogram = Histogram.of(values)
    assert len(histogram) == values.size
    for percent in (0, 1, 50, 90, 99, 100):
        expected = np.percentile(values, percent, method="inverted_cdf")
        assert histogram.percentile(percent) == pytest.approx(expected, rel=2e-3, abs=1e-6)
    assert histogram.max == pytest.approx(values.max(), rel=2e-3, abs=1e-6)
    assert histogram.mean == pytest.approx(values.mean(), rel=2e-3, abs=1e-6)


@given(durations, durations)
def test_histograms_survive_text_and_merging(one: list[float], other: list[float]) -> None:
    both = Histogram.merged(Histogram.decode(Histogram.of(np.array(each)).encode()) for each in (one, other))
    whole = Histogram.of(np.array([*one, *other]))
    np.testing.assert_array_equal(both.values()[0], whole.values()[0])
    np.testing.assert_array_equal(both.values()[1], whole.values()[1])


def test_histogram_counts_what_is_out_of_range_at_its_ends() -> None:
    histogram = Histogram.of(np.array([-1.0, 0.0, 1e9]))
    assert len(histogram) == 3
    assert histogram.percentile(50) == pytest.approx(1e-6)
    assert histogram.max == pytest.approx(3600, rel=1e-3)


def test_histogram_of_nothing_has_no_percentiles() -> None:
    assert math.isnan(Histogram().percentile(99))
    assert math.isnan(Histogram().max)


@pytest.mark.parametrize("text", ["", "nothing", "SElTVA==", "é"])
def test_text_that_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(HistogramError, match="allowed: an encoded HdrHistogram"):
        Histogram.decode(text)


def test_a_percentile_needs_requests_beyond_it() -> None:
    assert enough(99, 100)
    assert not enough(99, 99)
    assert enough(99.9, 1000)
    assert not enough(99.9, 999)


def test_parts_of_several_processes_are_put_together() -> None:
    one = columns([Sample(0, 0, 0.0, 0.0, 1.0, OK, {"a": 1.0}), Sample(2, 0, 2.0, 2.0, 3.0, "UNAVAILABLE")])
    other = columns([Sample(1, 1, 1.0, 1.5, 2.0, OK, {"b": 2.0}, 4, 10)])
    merged = merge([one, columns([]), other])
    assert merged.number.tolist() == [0, 1, 2]
    assert merged.counts() == {OK: 2, "UNAVAILABLE": 1}
    assert merged.lag.tolist() == [0.0, 0.5, 0.0]
    np.testing.assert_array_equal(merged.parts["a"], [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(merged.parts["b"], [np.nan, 2.0, np.nan])
    assert merged.images.tolist() == [0, 4, 0]
    assert len(merge([])) == 0


def test_reasons_beside_codes_do_not_hide_them() -> None:
    samples = columns(
        [Sample(0, 0, 0.0, 0.0, 9.0, "DEADLINE_EXCEEDED TOO_SLOW"), Sample(1, 0, 1.0, 1.0, 1.1, OK)]
    )
    assert samples.is_code("DEADLINE_EXCEEDED").tolist() == [True, False]


def test_time_goes_where_it_went_and_adds_up() -> None:
    sample = Sample(
        0, 0, 0.0, 0.01, 0.11, OK, {"total": 0.08, "decode": 0.01, "stage head": 0.03, "encode": 0.02}
    )
    parts = {part.name: part.mean for part in break_down(columns([sample])).parts}
    assert list(parts) == [LAG, NETWORK, "decode", "stage head", "encode", OTHER]
    assert parts[NETWORK] == pytest.approx(0.02)
    assert parts[OTHER] == pytest.approx(0.02)
    assert sum(parts.values()) == pytest.approx(sample.done - sample.due)


def test_stages_side_by_side_are_told() -> None:
    sample = Sample(0, 0, 0.0, 0.0, 0.11, OK, {"total": 0.1, "stage a": 0.08, "stage b": 0.06})
    found = break_down(columns([sample]))
    assert found.overlap == pytest.approx(0.04)
    assert break_down(columns([])).parts == []


def samples_of_a_load() -> list[Sample]:
    answered = [Sample(i, 0, i / 100, i / 100, i / 100 + 0.02, OK, {}, 1, 100) for i in range(900)]
    slow = [Sample(i, 0, i / 100, i / 100, i / 100 + 10, "DEADLINE_EXCEEDED") for i in range(900, 990)]
    refused = [Sample(i, 0, i / 100, i / 100, i / 100 + 0.001, "RESOURCE_EXHAUSTED") for i in range(990, 995)]
    nowhere = [Sample(i, -1, i / 100, math.nan, i / 100, SKIPPED_OUTSTANDING) for i in range(995, 1000)]
    return [*answered, *slow, *refused, *nowhere]


def test_what_was_given_up_after_long_waiting_is_slow_and_what_was_refused_is_not_fast() -> None:
    result = trial_of(samples_of_a_load(), Load(kind="constant", rate=100, seconds=10))
    latency = Histogram.decode(result.latency)
    assert len(latency) == 990
    assert latency.percentile(95) == pytest.approx(10, rel=1e-3)
    assert latency.percentile(1) == pytest.approx(0.02, rel=1e-3)
    assert result.failed == 100
    assert sum(block.requests for block in result.blocks) == result.requests == 1000
    assert result.per_second == pytest.approx(90)
    assert sum(each.failed for each in result.timeline) == 100


OPEN = Load(kind="poisson", rate=50, seconds=10)


@pytest.mark.parametrize(
    ("use", "p50", "limits"),
    [
        (ClientUse(processes=1, cpu=0.2, loop_busy=0.2, lag_p99=0.001), 0.02, []),
        (ClientUse(processes=1, cpu=0.2, loop_busy=0.2, lag_p99=0.003), 0.02, ["late or later"]),
        (ClientUse(processes=1, cpu=0.2, loop_busy=0.2, lag_p99=0.003), 0.1, []),
        (ClientUse(processes=1, cpu=1.1, loop_busy=0.95, lag_p99=0.001), 0.02, ["busy 95% of the time"]),
        (ClientUse(processes=1, cpu=0.2, loop_busy=0.2, skipped_late=2), 0.02, ["2 of 1000 requests"]),
        (ClientUse(processes=1, cpu=0.2, loop_busy=0.2, skipped_late=1), 0.02, []),
    ],
    ids=["fine", "late", "late, but slow service", "busy", "skipped", "hardly skipped"],
)
def test_the_client_as_the_limit_is_noticed(use: ClientUse, p50: float, limits: list[str]) -> None:
    found = client_limits(OPEN, use, 1000, p50)
    assert len(found) == len(limits)
    assert all(expected in line for expected, line in zip(limits, found, strict=True))


def test_a_closed_loop_is_never_late() -> None:
    use = ClientUse(processes=1, cpu=0.2, loop_busy=0.2, lag_p99=1.0)
    assert client_limits(Load(kind="closed", clients=4, seconds=10), use, 1000, 0.02) == []


def test_what_the_client_skipped_is_not_the_services_failure() -> None:
    random = np.random.default_rng(1)
    assert trial(random).failed == 0
    late = [Sample(i, -1, i / 10, math.nan, i / 10 + 0.2, SKIPPED_LATE) for i in range(50)]
    answered = [Sample(50 + i, 0, 5 + i / 10, 5 + i / 10, 5.02 + i / 10, OK) for i in range(50)]
    result = trial_of([*late, *answered], OPEN)
    assert result.failed == 0
    assert not result.counts
