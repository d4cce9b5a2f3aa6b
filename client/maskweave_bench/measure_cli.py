"""The commands that measure: `run` and `knee`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maskweave_bench.compare import Tolerance, differences
from maskweave_bench.knee import KneeTarget
from maskweave_bench.options import FILE, common_options, read_common
from maskweave_bench.record import Load
from maskweave_bench.results import KneeResult, read_results
from maskweave_bench.session import finish, judge_files, results_of, run_turns, session_of
from maskweave_bench.trials import peak_rate, trace_load, turns

_PLAIN_CLIENTS = (1, 2, 4, 16)
_PLAIN_SHARES = (0.5, 0.7, 0.9)
_PLAIN_SECONDS = 220.0
"""Of all trials, when neither loads nor lengths are given: with what lies between, less than five minutes."""
_PLAIN_REPEATS = 3
_PLAIN_SHORTEST, _PLAIN_LONGEST = 3.0, 10.0


@click.command(context_settings={"show_default": True})
@common_options
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0.001),
    multiple=True,
    help="Open loop: requests a second. Give it several times.",
)
@click.option(
    "--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", help="Arrivals of --rate."
)
@click.option("--ramp", metavar="FROM:TO", help="Open loop: a rate that changes linearly from FROM to TO.")
@click.option(
    "--trace", type=FILE, help="Open loop: times of requests, one a line (or CSV): seconds, or ISO 8601."
)
@click.option(
    "--speed",
    type=click.FloatRange(0.001),
    default=1.0,
    help="Speed of --trace: 2 replays it in half the time.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 100_000),
    multiple=True,
    help="Closed loop: number of clients. Give it several times.",
)
@click.option("--baseline", type=FILE, help="Earlier results to compare with; implies --gate.")
@click.option("--gate", is_flag=True, help="Exit with 3 when a target is worse than the first.")
@click.option("--strict", is_flag=True, help="With a gate: exit with 4 when there is no verdict.")
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

    Without --rate, --ramp, --trace and --clients: closed loops of 1, 2, 4 and 16 clients, and open loops at
    50, 70 and 90 % of the rate that these reach. Then, unless --repeats and --seconds are given, each is
    measured three times, for so long that all of it takes less than five minutes.
    """
    plain = not (rates or ramp or trace or clients)
    if plain:
        shared |= _plain_lengths(len(shared["targets"]), shared["seconds"], shared["repeats"])
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


@click.command(context_settings={"show_default": True})
@common_options
@click.option(
    "--p99-ms",
    type=click.FloatRange(0.01),
    required=True,
    help="Target: the most that the percentile may be.",
)
@click.option(
    "--percentile", type=click.FloatRange(1, 99.99), default=99.0, help="The percentile of --p99-ms."
)
@click.option(
    "--max-errors", type=click.FloatRange(0, 1), default=0.001, help="Share of requests that may fail."
)
@click.option(
    "--first-rate", type=click.FloatRange(0.1), default=8.0, help="Rate to begin with, in requests a second."
)
@click.option(
    "--resolution",
    type=click.FloatRange(0.005, 1),
    default=0.05,
    help="Width of the bracket at which the search ends, as a share of the rate.",
)
@click.option("--max-trials", type=click.IntRange(1, 1000), default=60, help="Most trials of each target.")
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


def _plain_lengths(targets: int, seconds: float, repeats: int) -> dict[str, Any]:
    """How long each trial is and how often it is repeated, where nobody said."""
    repeats = repeats if _given("repeats") else _PLAIN_REPEATS
    trials = targets * repeats * (len(_PLAIN_CLIENTS) + len(_PLAIN_SHARES))
    fitting = min(max(_PLAIN_SECONDS / trials, _PLAIN_SHORTEST), _PLAIN_LONGEST)
    return {"repeats": repeats, "seconds": seconds if _given("seconds") else round(fitting, 1)}


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
