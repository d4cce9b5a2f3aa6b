"""What a terminal shows, and what a log gets."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from maskweave_bench.live import LiveTable, describe
from maskweave_bench.processes import Progress
from tests.unit.bench.simulated import LOAD, trial


def shown(*, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, color_system=None)
    random = np.random.default_rng(1)
    with LiveTable(console, 3, 60.0) as table:
        table.begin("a", LOAD, 0)
        table.progress(Progress(40, 2, (0.02, 0.03)))
        table.end(trial(random, failing=0.1))
        table.begin("a", LOAD, 1)
        table.progress(Progress(20, 0, (0.02,)))
        table.end(trial(random, repeat=1, lag=0.05))
    return text.getvalue()


def test_terminal_has_a_table_with_progress_and_time_left() -> None:
    text = shown(terminal=True)
    assert "poisson, 50/s" in text
    assert "client was the limit" in text
    assert "2 of 3 trials done, about" in text


def test_log_has_a_line_for_each_trial() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("1/3  a · poisson, 50/s · repeat 1: ")
    assert "failed" in lines[0]
    assert "does not count: one request in a hundred was sent" in lines[1]


def test_log_says_where_there_are_too_few_requests_for_a_percentile() -> None:
    few = describe(trial(np.random.default_rng(1), load=LOAD.model_copy(update={"seconds": 1.0})))
    assert "p50 " in few
    assert "p99 of too few requests" in few
    assert "- ms" not in few
