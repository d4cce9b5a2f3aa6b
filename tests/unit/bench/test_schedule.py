"""When requests are due."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskweave_bench.schedule import TraceError, constant, poisson, ramp, read_trace, replay, share

rates = st.floats(0.1, 500)
durations = st.floats(0.1, 20)


@given(rates, durations)
def test_constant_rate_has_equal_gaps(rate: float, seconds: float) -> None:
    times = constant(rate, seconds)
    assert times[0] == 0
    assert times[-1] < seconds <= times[-1] + 1 / rate * (1 + 1e-6)
    np.testing.assert_allclose(np.diff(times), 1 / rate, rtol=1e-6)


@given(rates, durations, st.integers(0, 2**32 - 1))
def test_arrivals_by_chance_are_ascending_and_repeatable(rate: float, seconds: float, seed: int) -> None:
    times = poisson(rate, seconds, np.random.default_rng(seed))
    assert np.array_equal(times, poisson(rate, seconds, np.random.default_rng(seed)))
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all()


def test_arrivals_by_chance_have_exponential_gaps() -> None:
    gaps = np.diff(poisson(50, 4000, np.random.default_rng(3)))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.02)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.02)  # of an exponential, the spread is the mean
    assert (gaps > 2 / 50).mean() == pytest.approx(np.exp(-2), rel=0.03)


@pytest.mark.parametrize(("first", "last"), [(0, 40), (40, 0), (10, 30), (20, 20)])
def test_ramp_has_the_rate_of_each_moment(first: float, last: float) -> None:
    times = ramp(first, last, 100)
    assert times.size == pytest.approx((first + last) / 2 * 100, abs=1)
    for middle in (12.5, 50, 87.5):
        inside = ((times >= middle - 10) & (times < middle + 10)).sum()
        assert inside / 20 == pytest.approx(first + (last - first) * middle / 100, abs=0.2)


def test_replay_begins_at_once_and_keeps_the_gaps() -> None:
    np.testing.assert_allclose(replay([1003.0, 1000.0, 1001.0]), [0, 1, 3])
    np.testing.assert_allclose(replay([1000.0, 1001.0, 1003.0], speed=2), [0, 0.5, 1.5])
    np.testing.assert_allclose(replay([0.0, 1.0, 3.0], seconds=3.0), [0, 1])


def test_trace_file_is_read_with_heading_comments_and_columns(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("time,caller\n# night\n0.5,a\n\n2,b\n")
    assert read_trace(file) == [0.5, 2.0]


def test_trace_file_may_have_times_as_logs_write_them(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    times = ("12:00:00Z,a", "12:00:00.250+00:00,b", "13:00:01+01:00", "12:00:02")
    file.write_text("\n".join(f"2026-01-31T{time}" for time in times))
    np.testing.assert_allclose(replay(read_trace(file)), [0, 0.25, 1, 2])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no times"),
        ("1\nsoon\n", "line 2: got 'soon'"),
        ("1\nnan\n", "line 2: got 'nan'"),
        ("\xff", "has no times"),
    ],
)
def test_trace_file_that_is_none_says_where(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(TraceError, match=told):
        read_trace(file)


@given(st.integers(0, 200), st.integers(1, 7))
def test_shares_are_the_whole(size: int, parts: int) -> None:
    times = np.arange(size, dtype=np.float64)
    shares = [share(times, part, parts) for part in range(parts)]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([numbers for _, numbers in shares])), np.arange(size)
    )
    for mine, numbers in shares:
        np.testing.assert_array_equal(times[numbers], mine)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="allowed: more than 0"):
        constant(rate, 1)
