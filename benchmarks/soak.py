"""Keeps a gateway under mixed load for minutes: does it go on answering, and does it go on as it began?"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.requests import read_label_map
from benchmarks.soak_figures import Row, Verdict, judge
from benchmarks.soak_load import ALLOWED, MixedLoad
from benchmarks.stats import summarize

_MIB = 2**20
# Whatever proxy the environment names, it does not lead to this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@click.command(context_settings={"show_default": True})
@click.option("--seconds", type=click.FloatRange(min=5), default=600, help="How long the load lasts.")
@click.option("--every", type=click.FloatRange(min=0.5), default=10, help="Seconds between two rows.")
@click.option("--model", default="faces64", help="The model that is asked for.")
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("model_repository"),
    help="What the gateway serves.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("runs/benchmarks/soak.json"),
    help="Where the figures go as JSON.",
)
def main(*, seconds: float, every: float, model: str, model_repository: Path, output: Path) -> None:
    """Put a gateway of this machine under mixed load, print a row of figures now and then, and sum up.

    Exit code 1: something failed that should not, or memory grew by more than 5 % after the first fifth.
    """
    if seconds < 5 * every:
        raise click.UsageError("--seconds must be at least five times --every")
    environment = fingerprint(model_repository)
    try:
        with local_service({"MODEL_REPOSITORY": str(model_repository), "LOG_LEVEL": "warning"}) as service:
            load = MixedLoad(service.address, model, read_label_map(None))
            rows = asyncio.run(_soak(load, service.metrics_url, seconds=seconds, every=every))
    except ServiceFailedError as error:
        raise click.ClickException(str(error)) from error
    verdict = judge(rows, ALLOWED)
    _print(verdict)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(_plain(environment, rows, verdict), indent=1) + "\n")
    click.echo(f"\nfigures: {output}")
    sys.exit(1 if verdict.problems else 0)


async def _soak(load: MixedLoad, metrics_url: str, *, seconds: float, every: float) -> list[Row]:
    click.echo(f"{'s':>5} {'requests':>8} {'p50 ms':>7} {'p99 ms':>7} {'MiB':>7} {'fds':>4} {'tasks':>5}")
    rows: list[Row] = []
    began = time.perf_counter()
    running = asyncio.create_task(load.run(seconds))
    while not running.done():
        await asyncio.wait((running,), timeout=every)
        row = await asyncio.to_thread(_look, metrics_url, load.take, began)
        if row.durations:  # the last moments may have none
            rows.append(row)
            click.echo(_line(row))
    await running
    return rows


def _look(
    metrics_url: str, take: Callable[[], tuple[dict[tuple[str, str], int], list[float]]], began: float
) -> Row:
    with _opener.open(metrics_url, timeout=30) as reply:
        lines = reply.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith(("process_", "maskweave_event_")))
    outcomes, durations = take()
    return Row(
        at_seconds=time.perf_counter() - began,
        outcomes=outcomes,
        memory_bytes=int(float(values["process_resident_memory_bytes"])),
        descriptors=int(float(values["process_open_fds"])),
        tasks=int(float(values["maskweave_event_loop_tasks"])),
        durations=durations,
    )


def _line(row: Row) -> str:
    durations = summarize(row.durations)
    return (
        f"{row.at_seconds:5.0f} {row.requests:8d} {durations.p50 * 1e3:7.1f} {durations.p99 * 1e3:7.1f} "
        f"{row.memory_bytes / _MIB:7.1f} {row.descriptors:4d} {row.tasks:5d}"
    )


def _print(verdict: Verdict) -> None:
    click.echo(f"\n{verdict.requests} requests")
    for (kind, code), count in sorted(verdict.outcomes.items()):
        click.echo(f"  {kind:<15} {code:<20} {count:7d}")
    start, end = verdict.memory_start_bytes, verdict.memory_end_bytes
    click.echo(
        f"memory after the warm-up {start / _MIB:.1f} MiB, at the end {end / _MIB:.1f} MiB "
        f"({end / start - 1:+.1%}), slope {verdict.memory_slope_mib_per_hour:+.1f} MiB/h"
    )
    click.echo(
        f"p99 first fifth {verdict.p99_first * 1e3:.1f} ms, last fifth {verdict.p99_last * 1e3:.1f} ms"
    )
    for problem in verdict.problems:
        click.echo(f"PROBLEM: {problem}")


def _plain(environment: dict[str, Any], rows: list[Row], verdict: Verdict) -> dict[str, Any]:
    def named(outcomes: Any) -> dict[str, int]:
        return {f"{kind}: {code}": count for (kind, code), count in sorted(outcomes.items())}

    def plain_row(row: Row) -> dict[str, Any]:
        durations = summarize(row.durations)
        figures = {"p50": durations.p50, "p99": durations.p99}
        kept = {key: value for key, value in asdict(row).items() if key != "durations"}
        return {**kept, "outcomes": named(row.outcomes), **figures}

    return {
        "environment": environment,
        "rows": [plain_row(row) for row in rows],
        "summary": {**asdict(verdict), "outcomes": named(verdict.outcomes)},
    }


if __name__ == "__main__":
    main()
