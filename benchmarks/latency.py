"""Latency and throughput of a service, by stage, beside the bare models: `python -m benchmarks.latency`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.bare_model import BareEnsemble
from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.report import one_client_table, plain, saturation_table
from benchmarks.requests import LABEL_MAPS, ROOT, read_label_map, sampled_request
from benchmarks.scenarios import Measurement, Plan, example_inputs, measure
from maskweave_client import AsyncClient, MaskweaveError

DEFAULT_PLAN = Plan()


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
# What is measured
@click.option(
    "--address", metavar="HOST:PORT", help="A service that runs already; without it, one is started."
)
@click.option("--model", default="faces64", help="The model to ask for.")
@click.option(
    "--label-map",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A palette PNG; without it, the first sample label map.",
)
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "model_repository",
    show_default="model_repository",
    help="The repository that the service serves, for the bare models.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="usable cores",
    help="Threads of the engine and of the bare models; one that runs already must have as many.",
)
# How long and how hard
@click.option(
    "--clients",
    type=click.IntRange(min=1),
    multiple=True,
    default=DEFAULT_PLAN.clients,
    help="Number of clients in the sweep; give it several times.",
)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=DEFAULT_PLAN.seconds, help="Of each load.")
@click.option(
    "--warmup-seconds", type=click.FloatRange(min=0), default=DEFAULT_PLAN.warmup_seconds, help="Before each."
)
@click.option(
    "--bare-passes", type=click.IntRange(min=1), default=DEFAULT_PLAN.bare_passes, help="Through the models."
)
# What becomes of it
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("runs/benchmarks/latency.json"),
    help="Where the figures go as JSON.",
)
def main(
    *,
    address: str | None,
    model: str,
    label_map: Path | None,
    model_repository: Path,
    threads: int,
    clients: tuple[int, ...],
    seconds: float,
    warmup_seconds: float,
    bare_passes: int,
    output: Path,
) -> None:
    """Measure a service's latency and throughput with requests for one picture each.

    The bare models are measured in this process, before and after the service is under load. With --address,
    the service has to be on this machine for the comparison to mean anything.
    """
    plan = Plan(clients, seconds, warmup_seconds, bare_passes)
    label_map = label_map or min(LABEL_MAPS.glob("*.png"))
    environment = fingerprint(model_repository)
    try:
        with _service(address, model_repository, threads) as target:
            measurement = asyncio.run(
                _measure(
                    target, model, read_label_map(label_map), model_repository, threads=threads, plan=plan
                )
            )
    except (ServiceFailedError, MaskweaveError) as error:
        raise click.ClickException(str(error)) from error
    except ExceptionGroup as group:
        raise click.ClickException(f"a request failed: {group.exceptions[0]}") from group

    click.echo("\nOne client, one picture for each request\n")
    click.echo(one_client_table(measurement))
    click.echo("\nMore clients, new seeds\n")
    click.echo(saturation_table(measurement))
    request = {"model": model, "label_map": label_map.name, "image_format": "png"}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps({"environment": environment, "request": request, **plain(measurement, plan)}, indent=1)
        + "\n"
    )
    click.echo(f"\nfigures: {output}")


@contextmanager
def _service(address: str | None, model_repository: Path, threads: int) -> Iterator[str]:
    """The address of the service to measure; one of our own lives as long as the block."""
    if address is not None:
        yield address
        return
    settings = {
        "MODEL_REPOSITORY": str(model_repository),
        "WORKER_THREADS": str(threads),
        "LOG_LEVEL": "warning",
    }
    with local_service(settings) as service:
        click.echo(f"service ready after {service.seconds_to_ready:.1f} s")
        yield service.address


async def _measure(
    address: str,
    model_name: str,
    label_map: NDArray[np.uint8],
    model_repository: Path,
    *,
    threads: int,
    plan: Plan,
) -> Measurement:
    async with AsyncClient(address) as client:
        model = await client.model(model_name)
        condition = next(each for each in model.conditions if each.kind == "label_map")
        bare = BareEnsemble(model_repository, f"{model_name}_label_map", threads=threads)
        resized = _resize(label_map, condition.width, condition.height)
        return await measure(
            sampled_request(client, model_name, label_map),
            bare,
            example_inputs(bare, resized, model.latent_scale),
            threads=threads,
            plan=plan,
            announce=click.echo,
        )


def _resize(label_map: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    image = Image.fromarray(label_map).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(image, np.uint8)


if __name__ == "__main__":
    main()
