"""Results as tables for people and as plain values for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.closed_loop import LoopResult
from benchmarks.samples import Sample, breakdown
from benchmarks.scenarios import Measurement, Plan

_EXPLAINED = {
    "observed": "as the client sees it",
    "total": "in the service",
    "queue": "waiting for a free decoder",
    "stages queue": "waiting of all stages",
    "own": "total less computing and queueing of the stages",
}


def one_client_table(measurement: Measurement) -> str:
    """Where the time of a request goes when nothing else is under way."""
    new, repeated = breakdown(measurement.new_seed.results), breakdown(measurement.repeated_seed.results)
    bare = measurement.bare
    rows = [["ms", "new seed p50", "p99", "repeated p50", "p99", "bare p50", ""]]
    for name, summary in new.items():
        again = repeated[name]
        alone = bare.stages.get(name)
        rows.append(
            [
                name,
                _ms(summary.p50),
                _ms(summary.p99),
                _ms(again.p50),
                _ms(again.p99),
                _ms(alone.p50) if alone else "",
                _EXPLAINED.get(name, ""),
            ]
        )
    rows.append(["all stages", "", "", "", "", _ms(bare.before.p50), "bare, before the load"])
    rows.append(["", "", "", "", "", _ms(bare.after.p50), "bare, after it"])
    return table(rows)


def saturation_table(measurement: Measurement) -> str:
    """Throughput and latency by number of clients; new seeds only."""
    rows = [["clients", "requests/s", "observed p50 ms", "p99", "total p50", "p99", "own p50", ""]]
    for loop in measurement.sweep:
        parts = breakdown(loop.results)
        rows.append(
            [
                str(loop.clients),
                f"{loop.per_second:.0f}",
                _ms(parts["observed"].p50),
                _ms(parts["observed"].p99),
                _ms(parts["total"].p50),
                _ms(parts["total"].p99),
                _ms(parts["own"].p50),
                "saturated" if loop.clients == measurement.saturated_at else "",
            ]
        )
    rows.append(["bare", f"{measurement.bare.per_second:.0f}", *[""] * 5, f"{measurement.threads} threads"])
    return table(rows)


def plain(measurement: Measurement, plan: Plan) -> dict[str, Any]:
    """Everything as plain values, durations in seconds, ready for JSON."""
    return {
        "plan": asdict(plan),
        "threads": measurement.threads,
        "bare": asdict(measurement.bare),
        "one_client": {
            "new_seed": _plain_loop(measurement.new_seed),
            "repeated_seed": _plain_loop(measurement.repeated_seed),
        },
        "sweep": [_plain_loop(loop) for loop in measurement.sweep],
        "saturated_at": measurement.saturated_at,
    }


def _plain_loop(loop: LoopResult[Sample]) -> dict[str, Any]:
    parts = {name: asdict(summary) for name, summary in breakdown(loop.results).items()}
    cached = {stage for sample in loop.results for stage, run in sample.stages.items() if run.cached}
    return {
        "clients": loop.clients,
        "requests_per_second": loop.per_second,
        "parts": parts,
        "stages_cached": sorted(cached),
    }


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length; the first and the last column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column in {0, last} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in rows)
