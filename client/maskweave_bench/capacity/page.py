"""The page of a capacity plan: one file of HTML with its plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from maskweave_bench.capacity.plan import Run, helm_values
from maskweave_bench.capacity.report import Report, check_rows, headline, rows, title_of
from maskweave_bench.report import words
from maskweave_bench.report.svg import Chart, Line, draw

_HOUR = 3600.0
_MOST_POINTS = 480


def page(report: Report) -> str:
    """All of it as one file of HTML, which asks no other machine for anything."""
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("maskweave_bench", "capacity"), PackageLoader("maskweave_bench", "report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [report.fixed, *([report.current] if report.current else []), *(report.found or [])[:1]]
    return environment.get_template("capacity.html.j2").render(
        report=report,
        case=report.case,
        headline=headline(report),
        rows=rows(report),
        checks=check_rows(report),
        names=[title_of(run) for run in shown],
        charts=[
            ("Requests a second", Markup(_traffic(report))),
            ("Replicas that are paid for", Markup(_over_time(shown, "replicas", "replicas"))),
            ("99th percentile of each minute", Markup(_latency(shown, report))),
            ("Requests slower than the target, or refused", Markup(_bad(shown, report))),
        ],
        values="\n".join(helm_values(report.best.scaling))
        if report.best is not None and report.best.scaling.targets
        else "",
        best=title_of(report.best) if report.best else "",
        words=words,
    )


def _traffic(report: Report) -> str:
    rates = report.case.traffic.rates
    step = max(1, rates.size // _MOST_POINTS)
    points = [
        (second / _HOUR, float(rates[second : second + step].mean())) for second in range(0, rates.size, step)
    ]
    return draw(Chart("requests a second", "hours", "requests/s", [Line(points, 3)], log_y=False))


def _over_time(shown: Sequence[Run], what: str, label: str) -> str:
    lines = [
        Line([(minute.begin / _HOUR, float(getattr(minute, what))) for minute in _thinned(run)], number)
        for number, run in enumerate(shown)
    ]
    return draw(Chart(label, "hours", label, lines, log_y=False))


def _latency(shown: Sequence[Run], report: Report) -> str:
    lines = [
        Line([(minute.begin / _HOUR, minute.p99 * 1e3) for minute in _thinned(run) if minute.p99], number)
        for number, run in enumerate(shown)
    ]
    target = report.case.wanted.target
    level = (target.seconds * 1e3, f"target {words.duration(target.seconds)}")
    return draw(Chart("99th percentile", "hours", "ms", lines, level=level))


def _bad(shown: Sequence[Run], report: Report) -> str:
    lines = [
        Line([(minute.begin / _HOUR, minute.bad * 100) for minute in _thinned(run)], number)
        for number, run in enumerate(shown)
    ]
    allowed = report.case.wanted.target.allowed * 100
    level = (allowed, f"{allowed:g} % may be")
    return draw(Chart("requests outside the target", "hours", "percent", lines, level=level, log_y=False))


def _thinned(run: Run) -> list[Any]:
    """At most some hundreds of minutes, of each stretch the worst."""
    minutes = run.outcome.minutes
    step = max(1, -(-len(minutes) // _MOST_POINTS))
    return [
        max(minutes[first : first + step], key=lambda minute: (minute.bad, minute.p99 or 0.0))
        for first in range(0, len(minutes), step)
    ]
