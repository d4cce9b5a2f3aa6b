"""`maskweave export verify`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import click

from export.config_file import CONFIG
from export.exported import ExportedPack, ServedCondition
from export.images import (
    LABEL_MAPS,
    SEEDS,
    Verdict,
    as_table,
    compare,
    images_of,
    load_samples,
    reference_images,
    worst_sheet,
)
from export.methods import load_pack
from export.mixed_precision import LOW_TYPES
from export.plans.builder import BuildError
from export.plans.machine import MachineError
from export.runners import Loader, Runner
from export.served_precisions import record_of, write_records
from service.engine.embedded.choice import make_runtime
from service.engine.embedded.precisions import RECORDS_FILE, Record
from service.engine.embedded.runtime import PRECISIONS, RUNTIMES, Precision, Runtime, RuntimeName
from training.config.pack_argument import PackName


@click.command(name="verify")
@click.argument("pack", type=PackName())
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("model_repository"),
    show_default=True,
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["fp32", *LOW_TYPES, "int8"]),
    multiple=True,
    help="Convert FP32 graphs to this first; with --runtime, compute in it; repeatable.  "
    "[default: the graphs as they are]",
)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    help="Make the images with the gateway's embedded engine, by this runtime.",
)
@click.option(
    "--record",
    is_flag=True,
    help=f"With --runtime: note the outcome in the repository's {RECORDS_FILE}, without which the gateway "
    "serves no other precision than fp32.",
)
@click.option(
    "--label-maps",
    type=click.Path(path_type=Path, file_okay=False),
    default=LABEL_MAPS,
    help="Folder of palette PNGs.  [default: the client's samples]",
)
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="PNG of the worst images.")
def command(
    pack: str,
    repository: Path,
    precisions: tuple[str, ...],
    runtime: RuntimeName | None,
    record: bool,
    label_maps: Path,
    sheet: Path | None,
) -> None:
    """Compare the images of a PACK's repository with PyTorch's in FP32, and fail if they are too different.

    Without --runtime, plans are run by TensorRT, graphs by ONNX Runtime, on a GPU if there is one. On a CPU,
    what is not FP32 is emulated: every result is rounded, sums are not.
    """
    if record and runtime is None:
        raise click.UsageError("--record goes with --runtime: the gateway's own images are what is noted")
    if runtime is None and "int8" in precisions:
        raise click.UsageError(
            "--precision int8 goes with --runtime, and with graphs of maskweave export int8"
        )
    if runtime is not None and "fp16" in precisions:
        raise click.UsageError("--precision fp16: the embedded engine has none; allowed: fp32, bf16, int8")
    try:
        runtimes = [make_runtime(runtime, each) for each in _served(precisions)] if runtime else []
        passed = _verify(load_pack(pack), repository, precisions, runtimes, record, label_maps, sheet)
    except (BuildError, MachineError, FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not passed:
        click.echo("Error: images differ by more than their precision's gate allows", err=True)
        sys.exit(1)


def _served(precisions: tuple[str, ...]) -> list[Precision]:
    return [each for each in PRECISIONS if each in (precisions or ("fp32",))]


def _verify(
    pack: ExportedPack,
    repository: Path,
    precisions: tuple[str, ...],
    runtimes: list[Runtime],
    record: bool,
    label_maps: Path,
    sheet: Path | None,
) -> bool:
    samples = load_samples(pack, label_maps)
    aside = tuple(stage.name for stage in pack.aside)
    verdicts, records = list[Verdict](), list[Record]()
    compared = 0
    ways = [Loader(repository, runtime=runtime) for runtime in runtimes] or [
        Loader(repository, precision) for precision in precisions or (None,)
    ]
    for condition, models in _models(pack, repository):
        reference = reference_images(pack, condition, samples)
        compared += len(reference)
        for model, loader in itertools.product(models, ways):
            runner = Runner(loader, model, aside)
            images = images_of(condition, runner, samples)
            verdicts.append(compare(model, runner, images, reference))
            if loader.runtime is not None:
                records.append(record_of(verdicts[-1], runner, loader.runtime))
            if sheet is not None:
                file = sheet.with_stem(f"{sheet.stem}-{model}-{runner.precision}")
                worst_sheet(verdicts[-1], samples, images, reference, pack.palette).save(file)
                click.echo(f"{file}: label maps, PyTorch's images, these images, their difference")
    maps = len(samples.labels) // len(SEEDS)
    click.echo(f"{compared} images, {maps} label maps by {len(SEEDS)} seeds, against PyTorch in FP32")
    click.echo(as_table(verdicts))
    if record:
        click.echo(f"noted in {write_records(repository, records)}")
    return all(verdict.passed for verdict in verdicts)


def _models(pack: ExportedPack, repository: Path) -> list[tuple[ServedCondition, list[str]]]:
    """Each condition with those of its models that the repository holds, of either layout."""
    found = []
    for condition in pack.conditions:
        names = (condition.name, condition.fused.name)
        present = [name for name in names if (repository / name / CONFIG).is_file()]
        if not present:
            raise FileNotFoundError(f"{repository}: holds neither {names[0]} nor {names[1]}")
        found.append((condition, present))
    return found
