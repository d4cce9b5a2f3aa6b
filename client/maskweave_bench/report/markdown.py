"""The report as Markdown, for issues and pull requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from maskweave_bench.report import words
from maskweave_bench.report.view import Judged, View, triton_rows

_VERDICTS = {
    "worse": "{candidate} is worse than {baseline}.",
    "better": "{candidate} is better than {baseline}.",
    "same": "{candidate} is as good as {baseline}.",
    "cannot tell": "It cannot be told whether {candidate} differs from {baseline}.",
}


def render(view: View) -> str:
    """The report's text."""
    results = view.results
    lines = [
        f"# Latency of {' and '.join(target.name for target in results.targets)}",
        "",
        f"Scenario {results.scenario.get('name', 'unnamed')}, {results.created}, "
        f"{len(results.trials)} trials, {results.environment.get('cpu', 'unknown CPU')}.",
        "",
    ]
    for judged in view.judged:
        lines += [*comparison(judged), ""]
    for knee in results.knees:
        found = f"{words.rate(knee.rate)}/s" if knee.rate else "no rate tried"
        high = "more" if knee.high is None else f"{words.rate(knee.high)}/s"
        lines += [
            f"**{knee.target}: {found}** keeps p{knee.percent:g} at most {words.duration(knee.seconds)} "
            f"with at most {words.share(knee.errors)} failed; "
            f"95 % interval {words.rate(knee.low)} to {high}; {knee.end}.",
            "",
        ]
    lines += [f"> {warning}" for warning in view.warnings]
    if view.warnings:
        lines.append("")
    rows = [["target", "load", "answered/s", "p50 ms", "p90", "p99", "p99.9", "max", "failed"]]
    for cell in view.cells:
        figures = [words.milliseconds(each.value) if each else "-" for each in cell.percentiles.values()]
        note = "" if cell.counts else " (the client was the limit)"
        rows.append(
            [
                cell.target,
                cell.load.name + note,
                words.rate(cell.per_second),
                *figures,
                words.milliseconds(cell.latency.max),
                words.share(cell.failed / max(cell.requests, 1)),
            ]
        )
    lines += [*table(rows), ""]
    parts = list(dict.fromkeys(part.name for cell in view.cells for part in cell.parts))
    if parts:
        rows = [["mean ms", *(f"{cell.target}, {cell.load.name}" for cell in view.cells if cell.parts)]]
        for name in parts:
            means = [
                next((words.milliseconds(part.mean) for part in cell.parts if part.name == name), "")
                for cell in view.cells
                if cell.parts
            ]
            rows.append([name, *means])
        lines += ["## Where the time goes", "", *table(rows), ""]
    if rows := triton_rows(view.cells):
        lines += ["## Triton's own statistics", "", *table(rows), ""]
    return "\n".join(lines)


def comparison(judged: Judged) -> list[str]:
    """A verdict and the table behind it."""
    verdict = _VERDICTS[judged.verdict].format(candidate=judged.candidate, baseline=judged.baseline)
    lines = [f"**{verdict}**", ""]
    if judged.why_not:
        return [*lines, judged.why_not]
    rows = [["load", "figure", judged.baseline, judged.candidate, "change", "interval", "verdict"]]
    show: Callable[[float], str]
    change: Callable[[float], str]
    for each in judged.comparisons:
        if math.isnan(each.change.estimate):
            rows.append([each.load, each.figure, "", "", "", "too few answers", each.verdict])
            continue
        if each.figure == "errors":
            show, change = words.share, words.points
        elif each.figure == "requests/s":
            show, change = words.rate, words.change
        else:
            show, change = _milliseconds, words.change
        rows.append(
            [
                each.load,
                each.figure,
                show(each.baseline),
                show(each.candidate),
                change(each.change.estimate),
                f"{change(each.change.low)} to {change(each.change.high)}",
                each.verdict,
            ]
        )
    compared = words.pairs([each.pairs for each in judged.comparisons])
    return [*lines, *table(rows), "", f"{compared}; the intervals hold together with 95 % confidence."]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is the heading."""
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        "| " + " | ".join(safe[0]) + " |",
        "|" + "---|" * len(safe[0]),
        *("| " + " | ".join(row) + " |" for row in safe[1:]),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{words.milliseconds(seconds)} ms"
