"""The commands: `run`, `knee`, `compare`, `report`, `scenarios`."""

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

from maskweave_bench.calls import ConnectError
from maskweave_bench.compare import NotComparableError, Tolerance, Verdict, compare, differences, overall
from maskweave_bench.discovery import list_models
from maskweave_bench.environment import fingerprint
from maskweave_bench.knee import KneeTarget
from maskweave_bench.live import LiveTable
from maskweave_bench.metrics_page import MetricsPageError, fetch
from maskweave_bench.options import Common, common_options, read_common
from maskweave_bench.processes import ClientProcessError, ClientProcesses
from maskweave_bench.report import html, markdown
from maskweave_bench.report.view import Judged, view
from maskweave_bench.requests import models_used, prepare
from maskweave_bench.results import KneeResult, Load, Results, ResultsError, TargetResult, Trial, read_results
from maskweave_bench.scenario import ScenarioError, builtin_scenarios
from maskweave_bench.schedule import Times, TraceError
from maskweave_bench.target import Target, TargetError
from maskweave_bench.trials import Bench, PlanError, Turn, peak_rate, trace_load, turns

EXIT_WORSE = 3
"""Exit code of a gate: the candidate is worse than the baseline."""

EXIT_CANNOT_TELL = 4
"""Exit code of a gate that is strict, and of a benchmark of which no trial counts."""

_PLAIN_CLIENTS = (1, 4, 16)
_PLAIN_SHARES = (0.5, 0.7, 0.9)

_FAILURES = (
    ScenarioError,
    TargetError,
    TraceError,
    ResultsError,
    PlanError,
    ConnectError,
    ClientProcessError,
    NotComparableError,
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Group(click.Group):
    """Says what went wrong in a line, where it is the user, a file or a service that is at fault."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _FAILURES as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def bench() -> None:
    """Measure the latency of Maskweave services.

    Exit codes: 0, 1 when something failed, 2 for wrong use; of a gate 3 when the candidate is worse, and 4
    when it cannot be told (with --strict) or no trial counts because the client was the limit.
    """


@dataclass
class _Session:
    """A benchmark in progress."""

    common: Common
    bench: Bench
    results: list[TargetResult]
    trials: list[Trial] = field(default_factory=list)
    knees: list[KneeResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@bench.command(context_settings={"show_default": True})
@common_options
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0.001),
    multiple=True,
    help="Open loop: requests a second. Give it several times.",
)
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", help="Of --rate.")
@click.option("--ramp", metavar="FROM:TO", help="Open loop: a rate that changes from one to the other.")
@click.option(
    "--trace", type=_FILE, help="Open loop: times of requests, one number of seconds a line (or CSV)."
)
@click.option(
    "--speed", type=click.FloatRange(0.001), default=1.0, help="Of --trace: 2 replays it in half the time."
)
@click.option(
    "--clients",
    type=click.IntRange(1, 100_000),
    multiple=True,
    help="Closed loop: clients. Give it several times.",
)
@click.option("--baseline", type=_FILE, help="Results of before: judge against them, and be a gate.")
@click.option("--gate", is_flag=True, help="Exit with 3 when a target is worse than the first.")
@click.option("--strict", is_flag=True, help="Of a gate: exit with 4 when it cannot be told.")
def run(
    *,
    rates: tuple[float, ...],
    arrivals: str,
    ramp: str | None,
    trace: Path | None,
    speed: float,
    clients: tuple[int, ...],
    baseline: Path | None,
    gate: bool,
    strict: bool,
    **shared: Any,
) -> None:
    """Measure targets under loads that are given.

    Without --rate, --ramp, --trace and --clients: closed loops of 1, 4 and 16 clients, and open loops at 50,
    70 and 90 % of the rate that these reach.
    """
    common = read_common(shared)
    before = read_results(baseline) if baseline else None
    loads: list[Load] = [Load(kind="closed", clients=number, seconds=common.seconds) for number in clients]
    loads += [Load(kind=arrivals, rate=rate, seconds=common.seconds) for rate in rates]  # type: ignore[arg-type]
    if ramp:
        loads.append(_ramp(ramp, common.seconds))
    times = None
    if trace:
        try:
            load, times = trace_load(
                trace, speed=speed, seconds=common.seconds if _given("seconds") else None
            )
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        loads.append(load)
    plain = not loads
    if plain:
        loads = [Load(kind="closed", clients=number, seconds=common.seconds) for number in _PLAIN_CLIENTS]
    count = len(common.targets) * (len(loads) + (len(_PLAIN_SHARES) if plain else 0)) * common.repeats
    seconds = sum(load.seconds for load in loads) * len(common.targets) * common.repeats
    seconds += len(_PLAIN_SHARES) * plain * common.seconds * len(common.targets) * common.repeats
    with _session(common, count, seconds, times) as (session, table):
        _run_turns(session, table, turns(len(common.targets), loads, common.repeats))
        if plain and not session.notes and (peak := peak_rate(session.trials)) > 0:
            opened = [
                Load(kind="poisson", rate=float(f"{peak * part:.3g}"), seconds=common.seconds)
                for part in _PLAIN_SHARES
            ]
            _run_turns(session, table, turns(len(common.targets), opened, common.repeats))
    judged = None
    if before is not None:
        session.notes.extend(differences(before, _results(session)))
        judged = _judge_files(before, _results(session), Tolerance())
    _finish(session, judged, gate=gate or before is not None, strict=strict)


@bench.command(context_settings={"show_default": True})
@common_options
@click.option(
    "--p99-ms", type=click.FloatRange(0.01), required=True, help="What the percentile may be at most."
)
@click.option(
    "--percentile", type=click.FloatRange(1, 99.99), default=99.0, help="Another percentile than the 99th."
)
@click.option(
    "--max-errors", type=click.FloatRange(0, 1), default=0.001, help="Share of requests that may fail."
)
@click.option(
    "--first-rate", type=click.FloatRange(0.1), default=8.0, help="Requests a second to begin with."
)
@click.option(
    "--resolution",
    type=click.FloatRange(0.005, 1),
    default=0.05,
    help="How closely to look, as a share of the rate.",
)
@click.option("--max-trials", type=click.IntRange(1, 1000), default=60, help="Of each target.")
def knee(
    *,
    p99_ms: float,
    percentile: float,
    max_errors: float,
    first_rate: float,
    resolution: float,
    max_trials: int,
    **shared: Any,
) -> None:
    """Find the highest rate at which the 99th percentile stays under a target and hardly anything fails.

    Rates are doubled until one fails, and then bracketed; every rate is tried --repeats times with arrivals
    by chance. A trial needs at least 100 requests for its 99th percentile: choose --seconds accordingly.
    """
    common = read_common(shared)
    wanted = KneeTarget(p99_ms / 1e3, percentile, max_errors)
    with _session(common, None, None, None) as (session, table):
        try:
            for number in range(len(common.targets)):
                found = session.bench.knee(
                    number,
                    wanted,
                    first_rate=first_rate,
                    seconds=common.seconds,
                    repeats=common.repeats,
                    resolution=resolution,
                    max_trials=max_trials,
                )
                for each in found:
                    if isinstance(each, KneeResult):
                        session.knees.append(each)
                        continue
                    session.trials.append(each)
                    table.end(each)
        except KeyboardInterrupt:
            session.notes.append(f"It was interrupted after {len(session.trials)} trials.")
    _finish(session, [], gate=False, strict=False)


@bench.command("compare", context_settings={"show_default": True})
@click.argument("baseline", type=_FILE)
@click.argument("candidate", type=_FILE)
@click.option(
    "--baseline-target",
    metavar="NAME",
    help="Of the baseline's targets, this one; without, pairs of one name, or the only ones.",
)
@click.option("--candidate-target", metavar="NAME", help="Of the candidate's targets, this one.")
@click.option(
    "--p50-tolerance",
    type=click.FloatRange(0, 10),
    default=0.05,
    help="Share by which the median may be worse.",
)
@click.option(
    "--p99-tolerance", type=click.FloatRange(0, 10), default=0.15, help="The same of the 99th percentile."
)
@click.option(
    "--throughput-tolerance",
    type=click.FloatRange(0, 10),
    default=0.05,
    help="The same of a closed loop's requests a second.",
)
@click.option(
    "--error-tolerance",
    type=click.FloatRange(0, 1),
    default=0.001,
    help="Share of requests that may fail beyond the baseline's.",
)
@click.option("--strict", is_flag=True, help="Exit with 4 when it cannot be told.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the candidate's page with the verdict.",
)
def compare_(
    *,
    baseline: Path,
    candidate: Path,
    baseline_target: str | None,
    candidate_target: str | None,
    p50_tolerance: float,
    p99_tolerance: float,
    throughput_tolerance: float,
    error_tolerance: float,
    strict: bool,
    page: Path | None,
) -> None:
    """Judge the results CANDIDATE against BASELINE: exit code 3 when it is worse.

    Trials of the same load and repeat are compared in pairs. Worse is what is worse beyond the tolerance and
    with 95 % confidence over all figures together.
    """
    ours, theirs = read_results(baseline), read_results(candidate)
    tolerance = Tolerance(p50_tolerance, p99_tolerance, throughput_tolerance, error_tolerance)
    notes = differences(ours, theirs)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    judged = _judge_files(ours, theirs, tolerance, baseline_target, candidate_target)
    for each in judged:
        click.echo("\n".join(markdown.comparison(each)))
    if page is not None:
        page.write_text(
            html.render(view(theirs.model_copy(update={"notes": [*theirs.notes, *notes]}), judged))
        )
    sys.exit(_exit_code(judged, gate=True, strict=strict))


@bench.command(context_settings={"show_default": True})
@click.argument("results", type=_FILE)
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Where the page goes.")
@click.option(
    "--markdown",
    "text",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the Markdown goes; without both, it is printed.",
)
def report(*, results: Path, page: Path | None, text: Path | None) -> None:
    """Write the page and the Markdown of RESULTS anew."""
    shown = view(read_results(results))
    if page is not None:
        page.write_text(html.render(shown))
    if text is not None:
        text.write_text(markdown.render(shown))
    if page is None and text is None:
        click.echo(markdown.render(shown))


@bench.command()
@click.argument("name", required=False)
def scenarios(*, name: str | None) -> None:
    """List the scenarios that come along, or print the file of one: a beginning for your own."""
    known = builtin_scenarios()
    if name is None:
        for each, text in known.items():
            description = text.partition("description:")[2].strip().removeprefix(">-").strip().splitlines()[0]
            click.echo(f"{each:16} {description}")
    elif name in known:
        click.echo(known[name], nl=False)
    else:
        raise click.BadParameter(f"got {name!r}; allowed: {', '.join(known)}", param_hint="NAME")


@contextmanager
def _session(
    common: Common, trials: int | None, seconds: float | None, times: Times | None
) -> Iterator[tuple[_Session, LiveTable]]:
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
        yield _Session(common, running, described, notes=notes), table


def _run_turns(session: _Session, table: LiveTable, planned: Sequence[Turn]) -> None:
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


def _results(session: _Session) -> Results:
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


def _finish(session: _Session, judged: list[Judged] | None, *, gate: bool, strict: bool) -> None:
    """Write the files, print the Markdown and end with the exit code."""
    results = _results(session)
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
    sys.exit(_exit_code(shown.judged, gate=gate, strict=strict))


def _judge_files(
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


def _exit_code(judged: Sequence[Judged], *, gate: bool, strict: bool) -> int:
    verdicts: set[Verdict] = {each.verdict for each in judged}
    if gate and "worse" in verdicts:
        return EXIT_WORSE
    return EXIT_CANNOT_TELL if gate and strict and "cannot tell" in verdicts else 0


def _ramp(text: str, seconds: float) -> Load:
    first, colon, last = text.partition(":")
    try:
        rates = float(first), float(last)
    except ValueError:
        rates = -1.0, -1.0
    if not colon or min(rates) < 0 or max(rates) <= 0 or max(rates) > 1e6:
        raise click.BadParameter(
            f"got {text!r}; allowed: FROM:TO, two rates of which one is more than 0", param_hint="--ramp"
        )
    return Load(kind="ramp", first_rate=rates[0], last_rate=rates[1], rate=sum(rates) / 2, seconds=seconds)


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
