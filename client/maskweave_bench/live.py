"""What a terminal shows while a benchmark runs: a table of the trials, and how the one that runs goes on."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maskweave_bench.histogram import Histogram, enough
from maskweave_bench.processes import Progress
from maskweave_bench.record import Load, Trial

_ROWS = 20


class LiveTable:
    """On a terminal a table that is redrawn; elsewhere a line for each trial.

    Args:
        console: Where it is shown.
        trials: How many there will be; None when that is not known.
        seconds: How long they will take together; None when that is not known.
    """

    def __init__(self, console: Console, trials: int | None, seconds: float | None) -> None:
        self._console = console
        self._expected = trials
        self._seconds = seconds
        self._began = time.monotonic()
        self._done: list[Trial] = []
        self._now = ""
        self._answered = 0
        self._failed = 0
        self._recent: list[float] = []
        self._trial_began = time.monotonic()
        self._trial_seconds = 1.0
        self._live: Live | None = None

    def __enter__(self) -> LiveTable:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True
            )
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def begin(self, target: str, load: Load, repeat: int) -> None:
        """A trial begins."""
        self._now = f"{target} · {load.name} · repeat {repeat + 1}"
        self._answered = self._failed = 0
        self._recent = []
        self._trial_began = time.monotonic()
        self._trial_seconds = load.seconds

    def progress(self, progress: Progress) -> None:
        """The trial goes on."""
        self._answered += progress.answered
        self._failed += progress.failed
        self._recent = [*self._recent, *progress.latencies][-500:]

    def end(self, trial: Trial) -> None:
        """A trial is over."""
        self._done.append(trial)
        if self._live is None:
            number = f"{len(self._done)}/{self._expected}" if self._expected else str(len(self._done))
            self._console.print(f"{number}  {self._now}: {describe(trial)}", highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        table = trial_table(self._done[-_ROWS:])
        if len(self._done) > _ROWS:
            table.caption = f"the last {_ROWS} of {len(self._done)} trials"
        elapsed = time.monotonic() - self._trial_began
        line = Text(f"{self._now}   {self._answered} answered")
        if self._failed:
            line.append(f", {self._failed} failed", style="bold red")
        if self._recent:
            p50, p99 = np.percentile(self._recent, (50, 99)) * 1e3
            line.append(f"   lately p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        bar = ProgressBar(total=1.0, completed=min(1.0, elapsed / self._trial_seconds), width=40)
        return Group(table, line, bar, Text(self._left(), style="dim"))

    def _left(self) -> str:
        gone = time.monotonic() - self._began
        text = f"{len(self._done)} trials done"
        if self._expected:
            text = f"{len(self._done)} of {self._expected} trials done"
        if self._seconds is None:
            return f"{text}, {gone:.0f} s gone"
        # As the trials go, with what each takes beyond its own duration.
        share = len(self._done) / self._expected if self._expected and self._done else 0.0
        left = gone / share - gone if share else self._seconds - gone
        return f"{text}, about {max(0.0, left):.0f} s left"


def describe(trial: Trial) -> str:
    """A trial in one line."""
    latency = Histogram.decode(trial.latency)
    words = [f"{trial.per_second:.1f}/s"]
    for percent in (50, 99):
        told = (
            f"{_percentile(latency, percent)} ms" if enough(percent, len(latency)) else "of too few requests"
        )
        words.append(f"p{percent} {told}")
    if trial.failed:
        words.append(f"{trial.failed} of {trial.requests} failed")
    if trial.state not in {"steady", "too short to tell"}:
        words.append(trial.state)
    if trial.limits:
        words.append(f"does not count: {'; '.join(trial.limits)}")
    return ", ".join(words)


def trial_table(trials: list[Trial]) -> Table:
    """A table with a row for each trial."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (
        "target",
        "load",
        "#",
        "from",
        "answered/s",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
        "errors",
        "",
    ):
        table.add_column(title, justify="left" if title in {"target", "load", ""} else "right")
    for trial in trials:
        latency = Histogram.decode(trial.latency)
        values = [
            *(_percentile(latency, percent) for percent in (50, 90, 99, 99.9)),
            f"{latency.max * 1e3:.1f}",
        ]
        errors = f"{trial.failed / max(trial.requests, 1):.2%}" if trial.failed else "0"
        state = (
            Text("client was the limit", style="bold yellow")
            if trial.limits
            else Text(trial.state, style="dim")
        )
        table.add_row(
            trial.target,
            trial.load.name,
            str(trial.repeat + 1),
            f"{trial.measured_from:.1f} s",
            f"{trial.per_second:.1f}",
            *values,
            Text(errors, style="bold red" if trial.failed else ""),
            state,
        )
    return table


def _percentile(latency: Histogram, percent: float) -> str:
    """In milliseconds; a dash when there are too few requests."""
    return f"{latency.percentile(percent) * 1e3:.1f}" if enough(percent, len(latency)) else "-"
