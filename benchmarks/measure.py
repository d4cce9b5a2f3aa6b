"""Measure the figures of `docs/performance.md`: `python -m benchmarks.measure`, or `make bench`.

All load is made by `maskweave-bench`. Figures go into one file, part by part: a part that is measured
again takes the place of its older self, with its own date and commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks.bare_model import BareEnsemble, example_inputs
from benchmarks.compact import rows_of
from benchmarks.environment import fingerprint
from benchmarks.local_service import ServiceFailedError
from benchmarks.measuring import Measuring, going_first
from benchmarks.memory import memory_mib, resident_mib
from benchmarks.page import FIGURES
from benchmarks.requests import ROOT, read_label_map
from benchmarks.scenario_files import KINDS, NEW_SEED, REPEATED_SEED, scenario
from benchmarks.stats import summarize
from maskweave_client import Client

_CLIENTS = (1, 2, 4, 8, 16, 32, 64)
_IMAGES = (1, 2, 4, 8, 16)
_SIZES = (64, 128, 256, 512)
_FACTORS = (0.8, 1.0, 2.0, 3.0)
_STARTS = 5


def stages(how: Measuring) -> dict[str, Any]:
    """One client, new seeds and a repeated one, by stage, beside the models alone."""
    found: dict[str, Any] = {}
    with how.service() as service:
        for name in (NEW_SEED, REPEATED_SEED):
            asked = scenario(name, how.model, **KINDS[name])
            found[name] = rows_of(how.bench(service, "run", asked, "--clients", 1))[0]
        with Client(service.address) as client:
            model = client.model(how.model)
    condition = next(each for each in model.conditions if each.kind == "label_map")
    cores = fingerprint(how.repository)["machine"]["usable_cores"]
    bare = BareEnsemble(how.repository, f"{how.model}_label_map", threads=cores)
    label_map = read_label_map(None)
    step = label_map.shape[0] // condition.height, label_map.shape[1] // condition.width
    inputs = example_inputs(bare, label_map[:: step[0], :: step[1]], model.latent_scale)
    passes = [bare.run(inputs).stage_seconds for _ in range(20 if how.quick else 400)][10:]
    found["bare"] = {
        "threads": cores,
        "all stages": summarize(sum(each.values()) for each in passes).p50,
        "stages": {name: summarize(each[name] for each in passes).p50 for name in passes[0]},
        "images_per_second": bare.throughput(inputs, threads=cores, seconds=how.seconds),
    }
    return found


def kinds(how: Measuring) -> dict[str, Any]:
    """Every kind of request, one client."""
    with how.service() as service, Client(service.address) as client:
        model = client.model(how.model)
        taken = {condition.kind for condition in model.conditions}
        found = {}
        for name, ask in how.few(list(KINDS.items())):
            if ask.get("condition", "label_map") not in taken or (
                ask.get("rpc") == "edit" and not model.editing
            ):
                continue
            asked = scenario(name, how.model, **ask)
            found[name] = rows_of(how.bench(service, "run", asked, "--clients", 1, repeats=1))[0]
    return found


def growth(how: Measuring) -> dict[str, Any]:
    """More clients, more images in a request, larger label maps; and the memory after that."""
    with how.service() as service:
        flags = [part for number in how.few(_CLIENTS) for part in ("--clients", number)]
        clients = rows_of(how.bench(service, "run", scenario("clients", how.model), *flags, repeats=1))
        images = {
            number: rows_of(
                how.bench(
                    service,
                    "run",
                    scenario(f"{number} images", how.model, images=number),
                    "--clients",
                    1,
                    repeats=1,
                )
            )[0]
            for number in how.few(_IMAGES)
        }
        sizes = {
            size: rows_of(
                how.bench(
                    service,
                    "run",
                    scenario(f"{size} px", how.model, width=size, height=size),
                    "--clients",
                    1,
                    repeats=1,
                )
            )[0]
            for size in how.few(_SIZES)
        }
        memory = resident_mib(service.pid)
    return {"clients": clients, "images": images, "label_map_pixels": sizes, "resident_mib_after": memory}


def models(how: Measuring) -> dict[str, Any]:
    """Models of other resolutions and numbers of classes: one client and eight.

    Raises:
        click.ClickException: There are none.
    """
    if not how.untrained.is_dir():
        raise click.ClickException(
            f"{how.untrained}: no such folder; make it first: maskweave export untrained {how.untrained}"
        )
    found: dict[str, Any] = {}
    with how.service(how.untrained) as service:
        with Client(service.address) as client:
            served = sorted(client.models(), key=lambda each: (each.image_width, len(each.palette)))
        for model in how.few(served):
            asked = scenario(model.name, model.name)
            one, eight = rows_of(how.bench(service, "run", asked, "--clients", 1, "--clients", 8, repeats=1))
            size = {"pixels": model.image_width, "classes": len(model.palette)}
            found[model.name] = {**size, "one": one, "eight": eight}
        memory = resident_mib(service.pid)
    return {"models": found, "resident_mib_after": memory}


def knee(how: Measuring) -> dict[str, Any]:
    """The highest rate with the 99th percentile under the target."""
    with how.service() as service:
        flags: list[object] = [
            "--p99-ms",
            how.p99_ms,
            "--first-rate",
            16,
            "--resolution",
            0.5 if how.quick else 0.1,
        ]
        flags += ["--max-trials", 3 if how.quick else 40]
        results = how.bench(service, "knee", scenario("knee", how.model), *flags, first=True)
    clients = [trial.client for trial in results.trials]
    return {
        "knee": results.knees[0].model_dump(),
        "rates": rows_of(results),
        "client": {
            "priority": " ".join(going_first()),
            "cores": max(client.cpu * client.processes for client in clients),
            "lag_p99": max(client.lag_p99 or 0.0 for client in clients),
        },
    }


def overload(how: Measuring) -> dict[str, Any]:
    """Independent callers with a deadline of a second, at multiples of the peak of a closed loop."""
    asked = scenario("deadline 1 s", how.model, timeout_seconds=1.0)
    with how.service() as service:
        (peak,) = rows_of(how.bench(service, "run", asked, "--clients", 8, repeats=1))
        rates = [f"{factor * peak['per_second']:.3g}" for factor in how.few(_FACTORS)]
        flags = [part for rate in rates for part in ("--rate", rate)]
        rows = rows_of(how.bench(service, "run", asked, *flags, "--lag-tolerance-ms", 50, repeats=1))
    return {"peak": peak["per_second"], "deadline_seconds": 1.0, "rates": rows}


def start(how: Measuring) -> dict[str, Any]:
    """From the start of the process to the first healthy answer and the first image, and the memory then."""
    found: dict[str, list[float]] = {
        name: [] for name in ("seconds_to_ready", "seconds_to_first_image", "resident_mib", "pss_mib")
    }
    label_map = read_label_map(None)
    for _ in range(1 if how.quick else _STARTS):
        with how.service() as service, Client(service.address) as client:
            client.synthesize(how.model, label_map, seeds=[1])
            found["seconds_to_first_image"].append(time.perf_counter() - service.started)
            found["seconds_to_ready"].append(service.seconds_to_ready)
            found["resident_mib"].append(resident_mib(service.pid))
            found["pss_mib"].append(memory_mib(service.pid))
    return dict(found)


PARTS: dict[str, Callable[[Measuring], dict[str, Any]]] = {
    each.__name__: each for each in (stages, kinds, growth, models, knee, overload, start)
}
"""By name, what can be measured."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--part", "names", type=click.Choice(list(PARTS)), multiple=True, help="Only this; all without."
)
@click.option("--seconds", type=click.FloatRange(0.5), default=6.0, help="Of each trial.")
@click.option("--repeats", type=click.IntRange(1), default=2, help="Of a trial.")
@click.option("--quick", is_flag=True, help="As little as shows that everything works: a minute in all.")
@click.option("--p99-ms", type=click.FloatRange(1), default=100.0, help="The target of the knee.")
@click.option("--model", default="faces64", help="The model to ask for.")
@click.option(
    "--model-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "model_repository",
    show_default="model_repository",
    help="The repository to serve.",
)
@click.option(
    "--untrained",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "build" / "untrained",
    show_default="build/untrained",
    help="Of the part models, what `maskweave export untrained` wrote.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FIGURES / "gateway.json",
    show_default="docs/figures/gateway.json",
    help="The file of figures.",
)
def main(
    *,
    names: tuple[str, ...],
    seconds: float,
    repeats: int,
    quick: bool,
    p99_ms: float,
    model: str,
    model_repository: Path,
    untrained: Path,
    output: Path,
) -> None:
    """Measure a gateway of this checkout, started for the purpose, and write the figures."""
    how = Measuring(
        model_repository, model, 0.6 if quick else seconds, 1 if quick else repeats, quick, p99_ms, untrained
    )
    figures: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    for name in names or PARTS:
        click.echo(f"measuring: {name}", err=True)
        environment = fingerprint(model_repository)
        try:
            measured = PARTS[name](how)
        except ServiceFailedError as error:
            raise click.ClickException(str(error)) from error
        command = (
            f"python -m benchmarks.measure --part {name} --seconds {how.seconds:g} --repeats {how.repeats}"
        )
        figures[name] = {"command": command, "environment": environment, "figures": measured}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(f"{output}; now: python -m benchmarks.page", err=True)


if __name__ == "__main__":
    main()
