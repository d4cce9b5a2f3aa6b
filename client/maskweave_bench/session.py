"""One benchmark from its targets to its files: what the measuring commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from maskweave_bench.compare import Tolerance, Verdict, compare, overall
from maskweave_bench.discovery import list_models
from maskweave_bench.environment import fingerprint
from maskweave_bench.live import LiveTable
from maskweave_bench.metrics_page import MetricsPageError, fetch
from maskweave_bench.options import Common
from maskweave_bench.processes import ClientProcesses
from maskweave_bench.record import Trial
from maskweave_bench.report import html, markdown
from maskweave_bench.report.view import Judged, view
from maskweave_bench.requests import models_used, prepare
from maskweave_bench.results import KneeResult, Results, TargetResult
from maskweave_bench.schedule import Times
from maskweave_bench.target import Target
from maskweave_bench.trials import Bench, Turn

EXIT_WORSE = 3
"""Exit code of a gate: the candidate is worse than the baseline."""

EXIT_CANNOT_TELL = 4
"""Exit code of a gate that is strict, and of a benchmark of which no trial counts."""


@dataclass
class Session:
    """A benchmark in progress."""

    common: Common
    bench: Bench
    results: list[TargetResult]
    trials: list[Trial] = field(default_factory=list)
    knees: list[KneeResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@contextmanager
def session_of(
    common: Common, trials: int | None, seconds: float | None, times: Times | None
) -> Iterator[tuple[Session, LiveTable]]:
    """Everything up to the first trial; client processes end with the block."""
    models = list_models(common.targets)
    mixes = [prepare(common.scenario, each) for each in models]
    about = [_about(target) for target in common.targets]
    described = [
        _describe(target, common, each, info)
        for target, each, info in zip(common.targets, models, about, strict=True)
    ]
    console = Console(stderr=True)
    with ClientProcesses(common.processes) as processes, LiveTable(console, trials, seconds) as table:
        notes: list[str] = []
        running = Bench(
            common.targets,
            mixes,
            processes,
            common.options,
            trace=times,
            tell=table.progress,
            note=lambda text: notes.append(text) if text not in notes else None,
            begin=table.begin,
        )
        yield Session(common, running, described, notes=notes), table


def run_turns(session: Session, table: LiveTable, planned: Sequence[Turn]) -> None:
    """Run trials in their order; when it is interrupted, what has been measured stays."""
    for turn in planned:
        try:
            trial = session.bench.trial(turn)
        except KeyboardInterrupt:
            if not session.trials:
                raise
            session.notes.append(f"It was interrupted after {len(session.trials)} trials.")
            return
        session.trials.append(trial)
        table.end(trial)


def _about(target: Target) -> dict[str, str]:
    if not target.metrics_urls:
        return {}
    try:
        return dict(fetch(target.metrics_urls).info)
    except MetricsPageError as error:
        # Better told now than after half an hour without metrics.
        raise click.ClickException(str(error)) from error


def _describe(target: Target, common: Common, models: Any, info: dict[str, str]) -> TargetResult:
    used = models_used(common.scenario, models)
    return TargetResult(
        name=target.name,
        addresses=list(target.addresses),
        tls=target.tls is not None,
        model=", ".join(model.name for model in used),
        model_version=", ".join(model.version for model in used),
        about=info,
    )


def results_of(session: Session) -> Results:
    """Everything that the benchmark leaves behind."""
    common = session.common
    return Results(
        version=version("maskweave-client"),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        scenario=common.scenario.model_dump(mode="json"),
        environment=fingerprint(common.labels),
        targets=session.results,
        trials=session.trials,
        knees=session.knees,
        notes=session.notes,
    )


def finish(session: Session, judged: list[Judged] | None, *, gate: bool, strict: bool) -> None:
    """Write the files, print the Markdown and end with the exit code."""
    results = results_of(session)
    shown = view(results, judged)
    output = session.common.output
    results.write(output)
    output.with_suffix(".html").write_text(html.render(shown))
    text = markdown.render(shown)
    output.with_suffix(".md").write_text(text)
    click.echo(text)
    click.echo(f"{output}, {output.with_suffix('.html')}, {output.with_suffix('.md')}", err=True)
    if session.trials and not any(trial.counts for trial in session.trials):
        sys.exit(EXIT_CANNOT_TELL)
    sys.exit(exit_code(shown.judged, gate=gate, strict=strict))


def judge_files(
    baseline: Results,
    candidate: Results,
    tolerance: Tolerance,
    ours: str | None = None,
    theirs: str | None = None,
) -> list[Judged]:
    """Targets of two files against one another: by name, or the only ones."""
    names = [target.name for target in baseline.targets], [target.name for target in candidate.targets]
    for wanted, known, which in ((ours, names[0], "baseline"), (theirs, names[1], "candidate")):
        if wanted is not None and wanted not in known:
            raise click.BadParameter(
                f"got {wanted!r}; the {which} has {', '.join(known)}", param_hint=f"--{which}-target"
            )
    if ours or theirs or not set(names[0]) & set(names[1]):
        pairs = [(ours or names[0][0], theirs or names[1][0])]
    else:
        pairs = [(name, name) for name in names[0] if name in names[1]]
    judged = []
    for one, other in pairs:
        comparisons = compare(
            [trial for trial in baseline.trials if trial.target == one],
            [trial for trial in candidate.trials if trial.target == other],
            tolerance,
        )
        same = one == other
        judged.append(
            Judged(
                f"{one} before" if same else one,
                f"{other} now" if same else other,
                comparisons,
                overall(comparisons),
            )
        )
    return judged


def exit_code(judged: Sequence[Judged], *, gate: bool, strict: bool) -> int:
    """The exit code of a gate, and 0 where there is none."""
    verdicts: set[Verdict] = {each.verdict for each in judged}
    if gate and "worse" in verdicts:
        return EXIT_WORSE
    return EXIT_CANNOT_TELL if gate and strict and "cannot tell" in verdicts else 0
