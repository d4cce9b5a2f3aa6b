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
from export.runners import Runner
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
    type=click.Choice(["fp32", *LOW_TYPES]),
    multiple=True,
    help="Convert FP32 graphs to this first; repeatable.  [default: the graphs as they are]",
)
@click.option(
    "--label-maps",
    type=click.Path(path_type=Path, file_okay=False),
    default=LABEL_MAPS,
    help="Folder of palette PNGs.  [default: the client's samples]",
)
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="PNG of the worst images.")
def command(
    pack: str, repository: Path, precisions: tuple[str, ...], label_maps: Path, sheet: Path | None
) -> None:
    """Compare the images of a PACK's repository with PyTorch's in FP32, and fail if they are too different.

    Plans are run by TensorRT, graphs by ONNX Runtime, on a GPU if there is one. On a CPU, what is not FP32 is
    emulated: every result is rounded, sums are not.
    """
    try:
        passed = _verify(load_pack(pack), repository, precisions, label_maps, sheet)
    except (BuildError, MachineError, FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not passed:
        click.echo("Error: images differ by more than their precision's gate allows", err=True)
        sys.exit(1)


def _verify(
    pack: ExportedPack, repository: Path, precisions: tuple[str, ...], label_maps: Path, sheet: Path | None
) -> bool:
    samples = load_samples(pack, label_maps)
    aside = tuple(stage.name for stage in pack.aside)
    verdicts = []
    compared = 0
    for condition, models in _models(pack, repository):
        reference = reference_images(pack, condition, samples)
        compared += len(reference)
        for model, precision in itertools.product(models, precisions or (None,)):
            runner = Runner(repository, model, precision, aside)
            images = images_of(condition, runner, samples)
            verdicts.append(compare(model, runner, images, reference))
            if sheet is not None:
                file = sheet.with_stem(f"{sheet.stem}-{model}-{runner.precision}")
                worst_sheet(verdicts[-1], samples, images, reference, pack.palette).save(file)
                click.echo(f"{file}: label maps, PyTorch's images, these images, their difference")
    maps = len(samples.labels) // len(SEEDS)
    click.echo(f"{compared} images, {maps} label maps by {len(SEEDS)} seeds, against PyTorch in FP32")
    click.echo(as_table(verdicts))
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
