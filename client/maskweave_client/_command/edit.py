"""The verb `edit`: images that are given the shape of other label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maskweave_client._command.batch import batch_options, left_of, run
from maskweave_client._command.connection import connected, connection_options
from maskweave_client._command.drawings import label_map
from maskweave_client._command.files import (
    IMAGE_ENDINGS,
    INPUTS,
    Input,
    Task,
    ending_of,
    found_inputs,
    image_format,
    image_tasks,
    is_one,
    write,
)
from maskweave_client._command.options import output_options
from maskweave_client._requests import ImageFormat

_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@INPUTS
@click.option(
    "--image", type=_PATH, help="The image to edit, or a folder with one of the same name for each."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Edit the image of this seed and --source.")
@click.option(
    "--source",
    type=_PATH,
    help="The label map that it shows now, or a folder of them. What it has in common with the target stays "
    "as it is; without, all is made anew.",
)
@click.option("--style-strength", type=float, help="Weight of the image's style.  [default: the model's]")
@click.option("--blend-width", type=float, help="Width of the soft edge in pixels.  [default: the model's]")
@output_options
@batch_options
@connection_options
def edit(
    inputs: tuple[Path, ...],
    image: Path | None,
    seed: int | None,
    source: Path | None,
    style_strength: float | None,
    blend_width: float | None,
    model: str,
    model_version: str,
    output: Path,
    format_: str | None,
    quality: int | None,
    jobs: int,
    again: bool,
    **connection: Any,
) -> None:
    """Give an image the shape of a label map, and leave the rest as it was.

    The files are the label maps that the images are to show. Of folders, every one is taken; --output is then
    a folder, too, and what it has already is left as it is.

    Exits with 1 if something failed; the same command then goes on with what is missing.
    """
    if (image is None) == (seed is None):
        raise click.UsageError("what is edited? allowed: exactly one of --image and --seed")
    if image is None and source is None:
        raise click.UsageError("--seed: allowed with --source, the label map that the image is made of")
    one = is_one(inputs, output, IMAGE_ENDINGS)
    encoding: ImageFormat = image_format(output, one=one, given=format_)  # type: ignore[assignment]
    tasks = image_tasks(found_inputs(inputs, output), output, one=one, ending=ending_of(encoding), images=1)
    left = left_of(tasks, one=one, again=again)
    with connected(**connection) as client:
        described = client.model(model, version=model_version) if left else None

        def work(task: Task) -> str:
            assert described is not None
            shown = (
                None if source is None else label_map(_partner("--source", source, task.source), described)
            )
            edited = client.edit(
                model,
                seed if image is None else _partner("--image", image, task.source),
                label_map(task.source.path, described),
                source=shown,
                style_strength=style_strength,
                blend_width=blend_width,
                image_format=encoding,
                quality=quality,
                priority="interactive" if one else "batch",
                model_version=model_version,
            ).images[0]
            write(task.outputs[0], edited.data)
            return f"{task.outputs[0]}: {edited.width} x {edited.height}"

        run(left, work, one=one, jobs=jobs, there=len(tasks) - len(left), address=connection["address"])


def _partner(option: str, named: Path, target: Input) -> Path:
    """The file that goes with a target: the one that is named, or that of its name in the folder that is.

    Raises:
        FileNotFoundError: The folder has none.
    """
    if not named.is_dir():
        return named
    for ending in IMAGE_ENDINGS:
        path = named / target.place.with_name(target.place.name + ending)
        if path.is_file():
            return path
    raise FileNotFoundError(f"{option}: {named} has no image named {target.place}")
