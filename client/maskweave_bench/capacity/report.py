"""What a capacity plan says: as JSON, as tables, and as Markdown."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from maskweave_bench.capacity.plan import Case, Run, Sizing, helm_values
from maskweave_bench.report import words
from maskweave_bench.report.markdown import table

FORMAT = "maskweave-capacity/1"
_HOUR = 3600.0


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that is shown.

    Attributes:
        case: What was asked.
        sizing: The fleet of a fixed size.
        fixed: The same under the traffic.
        current: The autoscaler as it is set; None without one.
        found: Settings that keep the target, cheapest first; None when none were looked for.
        per_hour: What a replica costs in an hour; None when nobody said.
        currency: Of that.
        origin: Where the autoscaler's settings are from.
        command: The command line.
        created: UTC, ISO 8601.
    """

    case: Case
    sizing: Sizing
    fixed: Run
    current: Run | None
    found: list[Run] | None
    per_hour: float | None
    currency: str
    origin: str
    command: list[str]
    created: str

    @property
    def runs(self) -> list[Run]:
        """All that are compared."""
        return [self.fixed, *([self.current] if self.current else []), *(self.found or [])]

    @property
    def best(self) -> Run | None:
        """The cheapest that keeps the target."""
        kept = [run for run in self.runs if run.kept]
        return min(kept, key=lambda run: run.outcome.replica_seconds) if kept else None

    @property
    def warnings(self) -> list[str]:
        """What a reader should know."""
        found = list(self.case.curve.warnings)
        if self.current is not None and not self.current.kept:
            found.append(
                f"The autoscaler as it is set keeps the target in {1 - self.current.outcome.outside:.1%} "
                f"of the minutes; {1 - self.case.wanted.outside:.1%} are wanted."
            )
        found.extend(
            f"{run.name}: overloaded for so long that the simulation ended after "
            f"{run.outcome.seconds / _HOUR:.1f} hours."
            for run in self.runs
            if not run.outcome.complete
        )
        if self.found is not None and not self.found:
            found.append("No autoscaler that was tried keeps the target.")
        return found


def as_json(report: Report) -> dict[str, Any]:
    """All of it as JSON."""
    case = report.case
    station = case.curve.station
    return {
        "format": FORMAT,
        "created": report.created,
        "command": report.command,
        "curve": {
            "name": case.curve.name,
            "seconds_by_requests_at_once": station.seconds.tolist(),
            "overhead_seconds": station.overhead,
            "capacity_per_second": station.capacity,
            "images_per_request": case.curve.images_per_request,
            "cpu_seconds_per_request": case.curve.cpu_per_request,
            "checks": [{**asdict(check), "error": check.error} for check in case.curve.checks],
        },
        "traffic": {
            "name": case.traffic.name,
            "seconds": case.traffic.seconds,
            "requests": case.traffic.requests,
            "peak_per_second": case.traffic.peak,
        },
        "wanted": asdict(case.wanted),
        "sizing": asdict(report.sizing),
        "cost_per_replica_hour": report.per_hour,
        "currency": report.currency,
        "autoscaler_from": report.origin,
        "runs": [_run(run, report) for run in report.runs],
        "warnings": report.warnings,
    }


def _run(run: Run, report: Report) -> dict[str, Any]:
    outcome = run.outcome
    known = report.per_hour is not None
    return {
        "name": run.name,
        "kept": run.kept,
        "scaling": {**asdict(replace(run.scaling, targets={})), "targets": dict(run.scaling.targets)},
        "complete": outcome.complete,
        "requests": outcome.requests,
        "refused": outcome.refused,
        "slow": outcome.slow,
        "replica_hours": outcome.replica_seconds / _HOUR,
        "most_replicas": outcome.most,
        "outside": outcome.outside,
        "p50_seconds": _finite(outcome.percentile(50)),
        "p99_seconds": _finite(outcome.percentile(99)),
        "cost": run.cost(report.per_hour or 0) if known else None,
        "cost_per_million_images": _finite(run.cost_per_million(report.per_hour or 0, _images(report)))
        if known
        else None,
        "minutes": [asdict(minute) for minute in outcome.minutes],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _images(report: Report) -> float:
    return report.case.curve.images_per_request


def headline(report: Report) -> str:
    """The answer in a sentence."""
    sizing, wanted = report.sizing, report.case.wanted
    return (
        f"{sizing.replicas} replicas carry the highest minute ({words.rate(report.case.traffic.peak)}/s) "
        f"with p{wanted.target.percent:g} at most {words.duration(wanted.target.seconds)}, "
        f"{sizing.headroom:.0%} to spare, and {sizing.headroom_one_lost:.0%} when one is lost."
    )


def rows(report: Report) -> list[list[str]]:
    """The table of runs, with its heading."""
    known = report.per_hour is not None
    head = ["fleet", "target kept", "time outside", "replica hours", "most", "p50 ms", "p99 ms", "refused"]
    found = [[*head, *(["cost", "per million images"] if known else [])]]
    for run in report.runs:
        outcome = run.outcome
        row = [
            title_of(run),
            "yes" if run.kept else "no",
            words.share(outcome.outside),
            f"{outcome.replica_seconds / _HOUR:.1f}",
            str(outcome.most),
            words.milliseconds(outcome.percentile(50)),
            words.milliseconds(outcome.percentile(99)),
            words.share(outcome.refused / max(outcome.requests, 1)),
        ]
        if report.per_hour is not None and not outcome.complete:
            row += ["-", "-"]
        elif report.per_hour is not None:
            row += [
                f"{run.cost(report.per_hour):.2f} {report.currency}",
                f"{run.cost_per_million(report.per_hour, _images(report)):.2f} {report.currency}",
            ]
        found.append(row)
    return found


def title_of(run: Run) -> str:
    """What a fleet is called in tables and plots."""
    if not run.scaling.targets:
        return f"fixed, {run.scaling.fewest} replicas"
    return f"{run.name}, at least {run.scaling.fewest}"


def markdown(report: Report) -> str:
    """All of it as Markdown."""
    case = report.case
    station = case.curve.station
    lines = [
        f"# Capacity for {case.traffic.name}",
        "",
        f"**{headline(report)}**",
        "",
        f"Curve: {case.curve.name}; {station.servers} at once, "
        f"{words.milliseconds(float(station.seconds[0]))} ms "
        f"alone, {words.rate(station.capacity)}/s at most, {words.rate(report.sizing.knee)}/s within the "
        "target. "
        f"Autoscaler: {report.origin}.",
        "",
        *(f"> {warning}" for warning in report.warnings),
        *([""] if report.warnings else []),
        *table(rows(report)),
        "",
    ]
    if report.best is not None and report.best.scaling.targets:
        lines += [
            f"The cheapest that keeps the target, {title_of(report.best)}, as values of the chart:",
            "",
            "```yaml",
        ]
        lines += [*helm_values(report.best.scaling), "```", ""]
    if case.curve.checks:
        lines += ["## Model and measurement", "", *table(check_rows(report)), ""]
    return "\n".join(lines)


def check_rows(report: Report) -> list[list[str]]:
    """The model beside what was measured, with a heading."""
    return [
        ["load", "percentile", "measured ms", "model ms", "error"],
        *(
            [
                check.load,
                f"p{check.percent:g}",
                words.milliseconds(check.measured),
                words.milliseconds(check.modelled),
                f"{check.error:+.0%}",
            ]
            for check in report.case.curve.checks
        ),
    ]
