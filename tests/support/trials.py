"""What a load came to, of samples that a test has made or measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskweave_bench.record import Load, Trial
from maskweave_bench.samples import Sample, columns
from maskweave_bench.summary import summarize


def trial_of(samples: Sequence[Sample], load: Load, **changes: Any) -> Trial:
    """The summary of a load of one kind of request, on a client that had nothing else to do."""
    settings: dict[str, Any] = {
        "target": "a",
        "repeat": 0,
        "started": 0.0,
        "warmup_seconds": 0.0,
        "kinds": ["one"],
        "processes": 1,
        "cpu": 0.1,
        "loop_busy": 0.1,
        "metrics": {},
    }
    return summarize(columns(samples), load=load, **(settings | changes))
