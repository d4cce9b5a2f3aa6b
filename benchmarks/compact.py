"""Results of `maskweave-bench` as a few figures for each load, to be kept beside the page that shows them."""

from __future__ import annotations

from typing import Any

from maskweave_bench.report.view import Cell, view
from maskweave_bench.results import Results


def rows_of(results: Results) -> list[dict[str, Any]]:
    """The loads of the only target, in their order; durations in seconds."""
    return [_row(cell) for cell in view(results).cells]


def _row(cell: Cell) -> dict[str, Any]:
    parts = {part.name: {"mean": part.mean, "p50": part.p50, "p99": part.p99} for part in cell.parts}
    return {
        "load": cell.load.name,
        "rate": cell.load.rate,
        "clients": cell.load.clients,
        "counts": cell.counts,
        "requests": cell.requests,
        "failed": cell.failed,
        "codes": cell.codes,
        "per_second": cell.per_second,
        "images_per_second": cell.images_per_second,
        **{f"p{percent:g}": spread.value if spread else None for percent, spread in cell.percentiles.items()},
        "parts": parts,
        "cpu_per_request": cell.cpu_per_request,
    }
