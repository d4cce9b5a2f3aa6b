"""The commands: `run`, `knee`, `compare`, `report`, `scenarios`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from maskweave_bench.calls import ConnectError
from maskweave_bench.compare import NotComparableError, Tolerance, differences
from maskweave_bench.knee import KneeTarget
from maskweave_bench.options import common_options, read_common
from maskweave_bench.processes import ClientProcessError
from maskweave_bench.report import html, markdown
from maskweave_bench.report.view import view
from maskweave_bench.results import KneeResult, Load, ResultsError, read_results
from maskweave_bench.scenario import ScenarioError, builtin_scenarios
from maskweave_bench.schedule import TraceError
from maskweave_bench.session import (
    exit_code,
    finish,
    judge_files,
    results_of,
    run_turns,
    session_of,
)
from maskweave_bench.target import TargetError
from maskweave_bench.trials import PlanError, peak_rate, trace_load, turns

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
    with session_of(common, count, seconds, times) as (session, table):
        run_turns(session, table, turns(len(common.targets), loads, common.repeats))
        if plain and not session.notes and (peak := peak_rate(session.trials)) > 0:
            opened = [
                Load(kind="poisson", rate=float(f"{peak * part:.3g}"), seconds=common.seconds)
                for part in _PLAIN_SHARES
            ]
            run_turns(session, table, turns(len(common.targets), opened, common.repeats))
    judged = None
    if before is not None:
        session.notes.extend(differences(before, results_of(session)))
        judged = judge_files(before, results_of(session), Tolerance())
    finish(session, judged, gate=gate or before is not None, strict=strict)


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
    with session_of(common, None, None, None) as (session, table):
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
    finish(session, [], gate=False, strict=False)


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
    judged = judge_files(ours, theirs, tolerance, baseline_target, candidate_target)
    for each in judged:
        click.echo("\n".join(markdown.comparison(each)))
    if page is not None:
        page.write_text(
            html.render(view(theirs.model_copy(update={"notes": [*theirs.notes, *notes]}), judged))
        )
    sys.exit(exit_code(judged, gate=True, strict=strict))


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
