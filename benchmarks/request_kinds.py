"""Latency of every kind of condition and edit that a model takes: `python -m benchmarks.request_kinds`."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

import click

from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.report import table
from benchmarks.requests import ROOT, requests_of_every_kind, sampled
from benchmarks.samples import Sample, parts, stages
from benchmarks.scenarios import FIRST_NEW_SEED
from maskweave_client import AsyncClient, MaskweaveError

WARMUP_REQUESTS = 20

Samples = Mapping[str, Sequence[Sample]]
"""By kind of request."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "model_repository",
    show_default="model_repository",
    help="The repository to serve.",
)
@click.option("--model", default="faces64", help="The model to ask for.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="usable cores",
    help="Threads of the engine.",
)
@click.option("--requests", type=click.IntRange(min=1), default=300, help="Of each kind.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("runs/benchmarks/request_kinds.json"),
    help="Where the figures go as JSON.",
)
def main(*, model_repository: Path, model: str, threads: int, requests: int, output: Path) -> None:
    """Measure the latency of each kind of request for one picture, with one client.

    The kinds take turns, request by request, so that a machine that slows down for a while does so for all of
    them; every request has a new seed.
    """
    environment = fingerprint(model_repository)
    settings = {
        "MODEL_REPOSITORY": str(model_repository),
        "WORKER_THREADS": str(threads),
        "LOG_LEVEL": "warning",
    }
    try:
        with local_service(settings) as service:
            measured = asyncio.run(_measure(service.address, model, requests))
    except (ServiceFailedError, MaskweaveError) as error:
        raise click.ClickException(str(error)) from error

    click.echo(kinds_table(measured))
    figures = {
        kind: {part: asdict(summary) for part, summary in parts(samples).items()}
        for kind, samples in measured.items()
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps(
            {"environment": environment, "model": model, "threads": threads, "kinds": figures}, indent=1
        )
        + "\n"
    )
    click.echo(f"\nfigures: {output}")


async def _measure(address: str, model_name: str, requests: int) -> Samples:
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    seeds = count(FIRST_NEW_SEED)
    async with AsyncClient(address) as client:
        kinds = requests_of_every_kind(client, await client.model(model_name))
        send = {kind: sampled(ask) for kind, ask in kinds.items()}
        for number in range(WARMUP_REQUESTS + requests):
            for kind in kinds:
                sample = await send[kind](next(seeds))
                if number >= WARMUP_REQUESTS:
                    samples[kind].append(sample)
    return samples


def kinds_table(measured: Samples) -> str:
    """A row for each kind: as the client sees it, in the service, and its stages' computing, medians."""
    rows: list[Sequence[str]] = [
        ["ms", "observed p50", "p99", "total p50", "p99", "decode p50", "encode p50", "stages p50"]
    ]
    for kind, samples in measured.items():
        of = parts(samples)
        observed, total = of["observed"], of["total"]
        durations = (observed.p50, observed.p99, total.p50, total.p99, of["decode"].p50, of["encode"].p50)
        each = ", ".join(f"{stage} {_ms(summary.p50)}" for stage, summary in stages(samples).items())
        rows.append([kind, *map(_ms, durations), each])
    return table(rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


if __name__ == "__main__":
    main()
