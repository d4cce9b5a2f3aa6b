"""The command `capacity`."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from maskweave_bench.capacity import report as reports
from maskweave_bench.capacity.autoscaler import Scaling
from maskweave_bench.capacity.autoscaler_settings import Settings, from_manifests, from_values
from maskweave_bench.capacity.outcome import Target
from maskweave_bench.capacity.page import page
from maskweave_bench.capacity.plan import Case, Wanted, plain_fleet, search, size
from maskweave_bench.capacity.stated import read_curve
from maskweave_bench.capacity.steady import Steady
from maskweave_bench.capacity.traffic import (
    Traffic,
    builtin_descriptions,
    constant_traffic,
    described,
    read_description,
    traced,
)
from maskweave_bench.options import FILE
from maskweave_bench.schedule import read_trace, replay

EXIT_NOT_KEPT = 3
"""Exit code with --gate: the autoscaler as it is set does not keep the target."""


@click.command(context_settings={"show_default": True})
@click.argument("curve", type=FILE)
@click.option("--curve-target", metavar="NAME", help="Which target of CURVE; needed if it has several.")
# What comes
@click.option(
    "--traffic", metavar="FILE", help="Rates over time, as YAML; or the name of a bundled file: day."
)
@click.option("--print-traffic", is_flag=True, help="Print the description that --traffic names, and end.")
@click.option("--trace", type=FILE, help="Times of requests, one a line (or CSV): seconds, or ISO 8601.")
@click.option("--rate", type=click.FloatRange(0.001, 1e7), help="One rate for an hour, in requests a second.")
@click.option(
    "--peak",
    type=click.FloatRange(0.001, 1e7),
    help="Scale --traffic so that its highest point, without bursts, is this rate.",
)
@click.option(
    "--growth", type=click.FloatRange(0.001, 1000), default=1.0, help="Multiply the traffic by this."
)
@click.option(
    "--shift-hours",
    type=click.FloatRange(-24, 24),
    default=0.0,
    help="Shift the traffic by so many hours, as in another region.",
)
@click.option("--hours", metavar="FROM:TO", help="Only this part of the traffic.")
# What is wanted
@click.option(
    "--p99-ms",
    type=click.FloatRange(0.01),
    required=True,
    help="Target: the most that the percentile may be.",
)
@click.option(
    "--percentile", type=click.FloatRange(50, 99.9), default=99.0, help="The percentile of --p99-ms."
)
@click.option(
    "--outside",
    type=click.FloatRange(0, 1),
    default=0.001,
    help="Share of the minutes in which it may be above the target.",
)
@click.option(
    "--headroom",
    type=click.FloatRange(0, 10),
    default=0.2,
    help="Spare capacity for more requests than expected, as a share.",
)
@click.option(
    "--spare",
    type=click.IntRange(0, 1000),
    default=1,
    help="Replicas that may be lost at the highest minute.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.01, 3600),
    default=10.0,
    help="Seconds after which a request that waits is refused.",
)
# What scales
@click.option(
    "--chart-values",
    type=FILE,
    multiple=True,
    help="Values file of the chart; later files override earlier ones.",
)
@click.option("--manifests", type=FILE, help="Manifests that the chart rendered, in place of its values.")
@click.option(
    "--start-seconds",
    type=click.FloatRange(0, 7200),
    help="Time from a decision until a new replica is ready.",
)
@click.option(
    "--discovery-seconds",
    type=click.FloatRange(0, 86400),
    help="Time until all callers use a new replica: max_connection_age_seconds; 0 behind a proxy.",
)
@click.option("--search", "look", is_flag=True, help="Look for the cheapest settings that keep the target.")
# What becomes of it
@click.option("--cost-per-hour", type=click.FloatRange(0), help="Cost of a replica.")
@click.option("--currency", default="USD", help="Currency of --cost-per-hour.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Seed of all random numbers.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=lambda: min(os.cpu_count() or 1, 4),
    show_default="cores, up to 4",
    help="Processes for --search.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    default=5_000_000,
    help="Requests simulated one by one; a fleet that is overloaded for longer ends early.",
)
@click.option(
    "--gate", is_flag=True, help="Exit with 3 when the autoscaler as it is set does not keep the target."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("maskweave-capacity.json"),
    help="The plan; the page and the Markdown are beside it, as .html and .md.",
)
def capacity(
    *,
    curve: Path,
    curve_target: str | None,
    traffic: str | None,
    print_traffic: bool,
    trace: Path | None,
    rate: float | None,
    peak: float | None,
    growth: float,
    shift_hours: float,
    hours: str | None,
    p99_ms: float,
    percentile: float,
    outside: float,
    headroom: float,
    spare: int,
    timeout: float,
    chart_values: tuple[Path, ...],
    manifests: Path | None,
    start_seconds: float | None,
    discovery_seconds: float | None,
    look: bool,
    cost_per_hour: float | None,
    currency: str,
    seed: int,
    processes: int,
    max_requests: int,
    gate: bool,
    output: Path,
) -> None:
    """Work out the replicas that a traffic needs, and simulate the autoscaler under it.

    CURVE is what `run` measured of one replica, closed loops and open loops; or YAML with stated
    figures: name, rate, milliseconds, servers.

    For example: maskweave-bench capacity maskweave-bench.json --traffic day --peak 400 --p99-ms 150 --search
    """
    if print_traffic:
        click.echo(
            builtin_descriptions().get(traffic or "day", "") or Path(traffic or "").read_text(), nl=False
        )
        return
    read = read_curve(curve, curve_target, patience=timeout)
    comes = _traffic(traffic, trace, rate, peak)
    if hours is not None:
        comes = comes.cut(_hours(hours))
    comes = comes.shifted(shift_hours).scaled(growth)
    settings = _settings(chart_values, manifests, start_seconds, discovery_seconds)
    wanted = Wanted(Target(p99_ms / 1e3, percentile), outside, headroom, spare)
    case = Case(read, Steady(read.station, seed), comes, wanted, settings.concurrency, seed, max_requests)
    sizing = size(case.steady, comes, wanted)
    current = case.run("as set", settings.scaling) if settings.scaling.targets else None
    made = reports.Report(
        case,
        sizing,
        plain_fleet(case, sizing),
        current,
        search(case, sizing, settings.scaling, processes=processes) if look else None,
        cost_per_hour,
        currency,
        settings.origin,
        [Path(sys.argv[0]).name, *sys.argv[1:]],
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(reports.as_json(made), indent=1) + "\n")
    output.with_suffix(".html").write_text(page(made))
    text = reports.markdown(made)
    output.with_suffix(".md").write_text(text)
    click.echo(text)
    click.echo(f"{output}, {output.with_suffix('.html')}, {output.with_suffix('.md')}", err=True)
    if gate and (current is None or not current.kept):
        sys.exit(EXIT_NOT_KEPT)


def _traffic(name: str | None, trace: Path | None, rate: float | None, peak: float | None) -> Traffic:
    given = [each for each in (name, trace, rate) if each is not None]
    if len(given) != 1:
        raise click.UsageError("what comes: give one of --traffic, --trace and --rate")
    if peak is not None and name is None:
        raise click.UsageError("--peak goes with --traffic")
    if rate is not None:
        return constant_traffic(rate, 3600)
    if trace is not None:
        try:
            return traced(trace.name, replay(read_trace(trace)))
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    assert name is not None
    description = read_description(name)
    factor = peak / max(point.rate for point in description.points) if peak is not None else 1.0
    return described(description).scaled(factor)


def _settings(
    values: tuple[Path, ...], manifests: Path | None, start: float | None, discovery: float | None
) -> Settings:
    if values and manifests:
        raise click.UsageError("give either --chart-values or --manifests")
    if values:
        found = from_values(values)
    elif manifests:
        found = from_manifests(manifests)
    else:
        found = Settings(Scaling(), None, "the chart's defaults, switched on")
    scaling = found.scaling
    return replace(
        found,
        scaling=replace(
            scaling,
            start=scaling.start if start is None else start,
            discovery=scaling.discovery if discovery is None else discovery,
        ),
    )


def _hours(text: str) -> tuple[float, float]:
    first, _, last = text.partition(":")
    try:
        hours = float(first), float(last)
    except ValueError:
        hours = -1.0, -1.0
    if not 0 <= hours[0] < hours[1]:
        raise click.BadParameter(f"got {text!r}; allowed: FROM:TO, in hours", param_hint="--hours")
    return hours
