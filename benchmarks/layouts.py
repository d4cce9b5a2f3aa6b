"""Ensemble or fused graph, on each engine: `python -m benchmarks.layouts`."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.closed_loop import closed_loop
from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.report import table
from benchmarks.requests import LABEL_MAPS, read_label_map, sampled_request
from benchmarks.samples import Sample
from benchmarks.scenarios import FIRST_NEW_SEED, REPEATED_SEED
from benchmarks.stats import summarize
from maskweave_client import AsyncClient, MaskweaveError

LAYOUTS = ("ensemble", "fused")
WARMUP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway to measure.

    Attributes:
        engine: `embedded` or `triton`.
        layout: `ensemble` or `fused`.
    """

    engine: str
    layout: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured of one target; durations in seconds, as the client saw them.

    Attributes:
        new_seed_p50: One client, every request with a new seed.
        new_seed_p99: The same.
        repeated_seed_p50: One client, the same seed again and again.
        per_second: Pictures per second that several clients got, with new seeds.
    """

    new_seed_p50: float
    new_seed_p99: float
    repeated_seed_p50: float
    per_second: float


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A repository with both layouts: `maskweave export repository faces64 --layout both`.",
)
@click.option("--triton-url", metavar="HOST:PORT", help="A Triton on that repository, to measure it as well.")
@click.option("--model", default="faces64", help="The model to ask for.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="Turns; each measures every target.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=4.0, help="Of each load.")
@click.option("--clients", type=click.IntRange(min=1), default=8, help="For the throughput.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("runs/benchmarks/layouts.json"),
    help="Where the figures go as JSON.",
)
def main(
    *,
    model_repository: Path,
    triton_url: str | None,
    model: str,
    rounds: int,
    seconds: float,
    clients: int,
    output: Path,
) -> None:
    """Measure gateways that serve the same pictures in different layouts.

    The targets take turns, so that a machine that slows down for a while does so for all of them.
    """
    environment = fingerprint(model_repository)
    engines = {"embedded": {"MODEL_REPOSITORY": str(model_repository)}}
    if triton_url:
        engines["triton"] = {"TRITON_URL": triton_url}
    targets = [Target(engine, layout) for engine in engines for layout in LAYOUTS]
    label_map = read_label_map(None)
    # One count for all rounds: a Triton outlives them, and so does its response cache.
    seeds = itertools.count(FIRST_NEW_SEED)
    measured: defaultdict[Target, list[Round]] = defaultdict(list)
    try:
        for number, target in itertools.product(range(rounds), targets):
            click.echo(f"round {number + 1} of {rounds}: {target.engine}, {target.layout}")
            settings = {**engines[target.engine], "ENGINE": target.engine, "LAYOUT": target.layout}
            with local_service({**settings, "LOG_LEVEL": "warning"}) as service:
                measured[target].append(
                    asyncio.run(_measure(service.address, model, label_map, seeds, seconds, clients))
                )
    except (ServiceFailedError, MaskweaveError) as error:
        raise click.ClickException(str(error)) from error
    except ExceptionGroup as group:
        raise click.ClickException(f"a request failed: {group.exceptions[0]}") from group

    click.echo()
    click.echo(layout_table(measured))
    figures = [
        {**asdict(target), "rounds": [asdict(each) for each in rounds_]}
        for target, rounds_ in measured.items()
    ]
    request = {"model": model, "label_map": min(LABEL_MAPS.glob("*.png")).name, "clients": clients}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps({"environment": environment, "request": request, "targets": figures}, indent=1) + "\n"
    )
    click.echo(f"\nfigures: {output}")


def layout_table(measured: dict[Target, list[Round]]) -> str:
    """The median round of each target, with the lowest and the highest beside it."""
    rows = [["engine", "layout", "new seed p50 ms", "p99", "repeated p50", "pictures/s"]]
    for target, rounds in measured.items():
        rows.append(
            [
                target.engine,
                target.layout,
                _spread((each.new_seed_p50 for each in rounds), 1e3, 1),
                _spread((each.new_seed_p99 for each in rounds), 1e3, 1),
                _spread((each.repeated_seed_p50 for each in rounds), 1e3, 1),
                _spread((each.per_second for each in rounds), 1, 0),
            ]
        )
    return table(rows)


def _spread(values: Iterable[float], scale: float, digits: int) -> str:
    ordered = sorted(value * scale for value in values)
    middle = ordered[len(ordered) // 2]
    return f"{middle:.{digits}f} ({ordered[0]:.{digits}f}-{ordered[-1]:.{digits}f})"


async def _measure(
    address: str,
    model: str,
    label_map: NDArray[np.uint8],
    seeds: Iterator[int],
    seconds: float,
    clients: int,
) -> Round:
    async with AsyncClient(address) as client:
        send = sampled_request(client, model, label_map)

        async def load(seed_of: Callable[[], int], count: int) -> tuple[list[float], float]:
            def request(_: int) -> Awaitable[Sample]:
                return send(seed_of())

            loop = await closed_loop(request, clients=count, seconds=seconds, warmup_seconds=WARMUP_SECONDS)
            return [sample.observed for sample in loop.results], loop.per_second

        new, _ = await load(lambda: next(seeds), 1)
        repeated, _ = await load(lambda: REPEATED_SEED, 1)
        _, per_second = await load(lambda: next(seeds), clients)
    summary = summarize(new)
    return Round(summary.p50, summary.p99, summarize(repeated).p50, per_second)


if __name__ == "__main__":
    main()
