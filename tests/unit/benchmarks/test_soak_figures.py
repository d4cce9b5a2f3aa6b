"""The verdict on a soak."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.soak_figures import Row, judge

ALLOWED = {"good": frozenset({"OK"}), "bad": frozenset({"INVALID_ARGUMENT"})}
FINE = {("good", "OK"): 3, ("bad", "INVALID_ARGUMENT"): 1}


def row(
    number: int, memory: int, outcomes: Mapping[tuple[str, str], int] = FINE, duration: float = 0.01
) -> Row:
    return Row(number * 36.0, outcomes, memory, descriptors=10, tasks=5, durations=[duration])


def test_a_soak_that_goes_well() -> None:
    memory = [50, 100, 100, 101, 102]  # the first is the warm-up
    verdict = judge([row(number, each * 2**20) for number, each in enumerate(memory)], ALLOWED)
    assert verdict.problems == []
    assert verdict.requests == 20
    assert verdict.outcomes == {("good", "OK"): 15, ("bad", "INVALID_ARGUMENT"): 5}
    assert (verdict.memory_start_bytes, verdict.memory_end_bytes) == (100 * 2**20, 102 * 2**20)


def test_memory_that_grows() -> None:
    verdict = judge([row(number, (100 + 2 * number) * 2**20) for number in range(10)], ALLOWED)
    assert verdict.memory_slope_mib_per_hour == pytest.approx(200)  # 2 MiB in 36 s
    assert verdict.problems == ["memory grew by 11.4% after the warm-up"]


def test_a_failure_that_should_not_be() -> None:
    rows = [row(number, 100) for number in range(4)]
    rows.append(row(4, 100, {("good", "INTERNAL"): 2, ("bad", "OK"): 1}))
    assert judge(rows, ALLOWED).problems == ["bad ended 1 times with OK", "good ended 2 times with INTERNAL"]


def test_the_tail_is_compared_with_the_beginning() -> None:
    verdict = judge([row(number, 100, duration=0.01 * (number + 1)) for number in range(5)], ALLOWED)
    assert (verdict.p99_first, verdict.p99_last) == (0.01, 0.05)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="4 rows are too few"):
        judge([row(number, 100) for number in range(4)], ALLOWED)
