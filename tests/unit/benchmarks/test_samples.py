from __future__ import annotations

import pytest

from benchmarks.samples import Sample, StageSample, breakdown


def sample(scale: float, *, head_cached: bool = False) -> Sample:
    return Sample(
        observed=10 * scale,
        total=9 * scale,
        queue=0.0,
        decode=0.5 * scale,
        encode=0.25 * scale,
        stages={
            "head": StageSample(queue=0.125 * scale, compute=2 * scale, cached=head_cached),
            "tail": StageSample(queue=0.125 * scale, compute=5 * scale, cached=False),
        },
    )


def test_own_time_is_what_the_stages_leave_of_the_total() -> None:
    assert sample(1.0).own == 9 - (0.125 + 2) - (0.125 + 5)


def test_breakdown_follows_a_request_through_the_service() -> None:
    rows = breakdown([sample(1.0), sample(2.0), sample(3.0)])
    order = ["observed", "total", "queue", "decode", "head", "tail", "stages queue", "encode", "own"]
    assert list(rows) == order
    assert {name: row.p50 for name, row in rows.items()} == {
        "observed": 20.0,
        "total": 18.0,
        "queue": 0.0,
        "decode": 1.0,
        "head": 4.0,
        "tail": 10.0,
        "stages queue": 0.5,
        "encode": 0.5,
        "own": 3.5,
    }
    assert all(row.count == 3 for row in rows.values())


def test_breakdown_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        breakdown([])
