"""The verb `read-map`: label maps that are read off images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click

from maskweave_client import Client, Model
from maskweave_client._command.batch import batch_options, left_of, refuse_batch_options, run
from maskweave_client._command.connection import connected, connection_options
from maskweave_client._command.files import (
    FORMATS,
    IMAGE_ENDINGS,
    Task,
    found_inputs,
    image_tasks,
    is_one,
    write,
)
from maskweave_client._command.options import model_options
from maskweave_client._requests import ImageFormat

_ENDING = ".png"


@click.command(name="read-map")
@click.argument("inputs", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILE|FOLDER]...")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Read the image that the model's generator makes of this seed, in place of files.",
)
@click.option("--image", type=click.Path(path_type=Path), help="With --seed, where that image is written to.")
@model_options
@batch_options
@connection_options
def read_map(
    inputs: tuple[Path, ...],
    seed: int | None,
    image: Path | None,
    model: str,
    model_version: str,
    output: Path,
    jobs: int,
    again: bool,
    **connection: Any,
) -> None:
    """Read label maps off images, to draw from: PNG files of class ids, in the model's colours.

    The images should be of the kind that the model makes, framed alike. Of folders, every one is taken;
    --output is then a folder, too, and what it has already is left as it is.

    Exits with 1 if something failed; the same command then goes on with what is missing.
    """
    if bool(inputs) == (seed is not None):
        raise click.UsageError("what is read? allowed: files or folders, or --seed")
    if seed is not None:
        refuse_batch_options("--seed")
        _of_seed(seed, image, model, model_version, output, **connection)
        return
    if image is not None:
        raise click.UsageError("--image: allowed with --seed")
    one = is_one(inputs, output, (_ENDING,))
    tasks = image_tasks(found_inputs(inputs, output), output, one=one, ending=_ENDING, images=1)
    left = left_of(tasks, one=one, again=again)
    with connected(**connection) as client:
        described = client.model(model, version=model_version) if left else None

        def work(task: Task) -> str:
            assert described is not None
            reading = client.read_label_map(
                model,
                task.source.path,
                priority="interactive" if one else "batch",
                model_version=model_version,
            )
            return _write_map(task.outputs[0], reading.label_map, described)

        run(left, work, one=one, jobs=jobs, there=len(tasks) - len(left), address=connection["address"])


def _of_seed(
    seed: int, image: Path | None, model: str, model_version: str, output: Path, **connection: Any
) -> None:
    for option, path, endings in (("--output", output, (_ENDING,)), ("--image", image, IMAGE_ENDINGS)):
        if path is not None and path.suffix.lower() not in endings:
            raise click.UsageError(f"{option}: got {path}; allowed: a file ending in {', '.join(endings)}")
    if image is not None and image.resolve() == output.resolve():
        raise click.UsageError(f"--image: got {image}, which is --output; allowed: another file")
    shown: ImageFormat = "png" if image is None else FORMATS[image.suffix.lower()]  # type: ignore[assignment]
    with connected(**connection) as client:
        click.echo(_read_seed(client, seed, image, shown, model, model_version, output))


def _read_seed(
    client: Client,
    seed: int,
    image: Path | None,
    image_format: ImageFormat,
    model: str,
    model_version: str,
    output: Path,
) -> str:
    described = client.model(model, version=model_version)
    reading = client.read_label_map(model, seed, image_format=image_format, model_version=model_version)
    said = _write_map(output, reading.label_map, described)
    if image is not None and reading.image is not None:
        write(image, reading.image.data)
        said += f"\n{image}: {reading.image.width} x {reading.image.height}, seed {seed}"
    return said


def _write_map(path: Path, label_map: Any, model: Model) -> str:
    file = io.BytesIO()
    model.palette.color_image(label_map).save(file, "PNG")
    write(path, file.getvalue())
    height, width = label_map.shape
    found = sorted({int(each) for each in label_map.ravel()})
    names = ", ".join(entry.name for entry in model.palette if entry.id in found)
    return f"{path}: {width} x {height}, {names}"
