"""What a gateway does when more is asked of it than it can do: `python -m benchmarks.overload`."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.closed_loop import closed_loop
from benchmarks.environment import fingerprint
from benchmarks.local_service import LocalService, ServiceFailedError, local_service
from benchmarks.open_loop import Answered, open_loop, poisson_arrivals
from benchmarks.report import table
from benchmarks.requests import ROOT, read_label_map
from benchmarks.stats import summarize
from maskweave_client import AsyncClient, MaskweaveError

ANSWERED = "OK"
REFUSED = "RESOURCE_EXHAUSTED"
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of one rate of arrivals. Durations in seconds, as the clients saw them unless said otherwise.

    Attributes:
        factor: Rate of arrivals as a multiple of the peak.
        offered: Requests that came, per second.
        goodput: Requests answered within their deadline, per second.
        outcomes: Requests by status code.
        answered_p50: From the time a request was due to its answer, of those answered.
        answered_p99: The same.
        refused_mean_in_service: Time that the service took for a refusal, from its own histogram.
        refused_at_most_5_ms: Share of refusals that took the service 5 ms or less.
    """

    factor: float
    offered: float
    goodput: float
    outcomes: dict[str, int]
    answered_p50: float
    answered_p99: float
    refused_mean_in_service: float | None
    refused_at_most_5_ms: float | None


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--model", default="faces64", help="The model to ask for.")
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "model_repository",
    show_default="model_repository",
    help="The repository to serve.",
)
@click.option(
    "--factor",
    type=click.FloatRange(min=0.1),
    multiple=True,
    default=(0.8, 1.0, 2.0, 3.0),
    help="Of the peak.",
)
@click.option("--seconds", type=click.FloatRange(min=0.5), default=10.0, help="Of each rate.")
@click.option(
    "--deadline", type=click.FloatRange(min=0.05), default=1.0, help="Of every request, in seconds."
)
@click.option("--seed", type=int, default=0, help="Of the arrivals.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("runs/benchmarks/overload.json"),
    help="Where the figures go as JSON.",
)
def main(
    *,
    model: str,
    model_repository: Path,
    factor: tuple[float, ...],
    seconds: float,
    deadline: float,
    seed: int,
    output: Path,
) -> None:
    """Measure a gateway's peak with a closed loop, then let requests come at multiples of it.

    Requests come by chance (a Poisson process) and do not wait for one another, each for a picture of a new
    seed. The clients share this machine's cores with the gateway, the more the more of them come.
    """
    environment = fingerprint(model_repository)
    try:
        with local_service({"MODEL_REPOSITORY": str(model_repository), "LOG_LEVEL": "warning"}) as service:
            peak, measured = asyncio.run(
                _measure(service, model, read_label_map(None), factor, seconds, deadline, seed)
            )
    except (ServiceFailedError, MaskweaveError) as error:
        raise click.ClickException(str(error)) from error
    except ExceptionGroup as group:
        raise click.ClickException(f"a request failed: {group.exceptions[0]}") from group
    click.echo(f"\npeak, closed loop of 8 clients: {peak:.1f} pictures/s\n")
    click.echo(overload_table(peak, measured))
    plan = {"model": model, "seconds": seconds, "deadline": deadline, "seed": seed}
    figures = {"environment": environment, "plan": plan, "peak": peak, "rates": [asdict(m) for m in measured]}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(f"\nfigures: {output}")


def overload_table(peak: float, measured: list[Overload]) -> str:
    """A row for each rate."""
    rows = [
        [
            "x peak",
            "offered/s",
            "goodput/s",
            "of peak",
            "answered p50 ms",
            "p99",
            "refused <= 5 ms",
            "outcomes",
        ]
    ]
    for each in measured:
        share = each.refused_at_most_5_ms
        rows.append(
            [
                f"{each.factor:g}",
                f"{each.offered:.1f}",
                f"{each.goodput:.1f}",
                f"{each.goodput / peak:.0%}",
                f"{each.answered_p50 * 1e3:.0f}",
                f"{each.answered_p99 * 1e3:.0f}",
                "" if share is None else f"{share:.1%}",
                ", ".join(f"{code} {count}" for code, count in sorted(each.outcomes.items())),
            ]
        )
    return table(rows)


async def _measure(
    service: LocalService,
    model: str,
    label_map: NDArray[np.uint8],
    factors: tuple[float, ...],
    seconds: float,
    deadline: float,
    seed: int,
) -> tuple[float, list[Overload]]:
    seeds = itertools.count(1)
    async with AsyncClient(service.address, retry=None) as client:  # every refusal counts

        async def ask(_: int) -> str:
            try:
                await client.synthesize(model, label_map, seed=next(seeds), timeout=deadline)
            except MaskweaveError as error:
                return error.code.name
            return ANSWERED

        async def must_be_answered(_: int) -> None:
            await client.synthesize(model, label_map, seed=next(seeds))

        loop = await closed_loop(must_be_answered, clients=8, seconds=seconds, warmup_seconds=2.0)
        measured = []
        for factor in factors:
            click.echo(f"{factor:g} times the peak of {loop.per_second:.1f} pictures/s")
            before = _refusals(service)
            arrivals = poisson_arrivals(factor * loop.per_second, seconds, np.random.RandomState(seed))
            answers = await open_loop(ask, arrivals)
            measured.append(_summary(factor, seconds, answers, before, _refusals(service)))
            await asyncio.sleep(deadline)
    return loop.per_second, measured


@dataclass(frozen=True, slots=True)
class _Refusals:
    """The service's own histogram of refusals."""

    count: float
    seconds: float
    at_most_5_ms: float


def _summary(
    factor: float, seconds: float, answers: list[Answered[str]], before: _Refusals, after: _Refusals
) -> Overload:
    outcomes = Counter(answer.result for answer in answers)
    answered = summarize(answer.since_due for answer in answers if answer.result == ANSWERED)
    refused = after.count - before.count
    return Overload(
        factor=factor,
        offered=len(answers) / seconds,
        goodput=outcomes[ANSWERED] / seconds,
        outcomes=dict(outcomes),
        answered_p50=answered.p50,
        answered_p99=answered.p99,
        refused_mean_in_service=(after.seconds - before.seconds) / refused if refused else None,
        refused_at_most_5_ms=(after.at_most_5_ms - before.at_most_5_ms) / refused if refused else None,
    )


def _refusals(service: LocalService) -> _Refusals:
    with _opener.open(service.metrics_url, timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    rows = [
        line
        for line in lines
        if line.startswith("grpc_server_handling_seconds") and 'grpc_code="ResourceExhausted"' in line
    ]
    return _Refusals(
        sum(_values(rows, r"_count\{")),
        sum(_values(rows, r"_sum\{")),
        sum(_values(rows, r'_bucket\{.*le="0\.005"')),
    )


def _values(rows: list[str], pattern: str) -> Iterator[float]:
    return (float(row.rpartition(" ")[2]) for row in rows if re.search(pattern, row))


if __name__ == "__main__":
    main()
