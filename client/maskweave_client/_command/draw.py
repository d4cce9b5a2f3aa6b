"""The verb `draw`: images that follow drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maskweave_client import Model
from maskweave_client._command.batch import batch_options, left_of, run
from maskweave_client._command.connection import connected, connection_options
from maskweave_client._command.drawings import KINDS, classes_in, condition
from maskweave_client._command.files import (
    IMAGE_ENDINGS,
    INPUTS,
    Task,
    ending_of,
    found_inputs,
    image_format,
    image_tasks,
    is_one,
    write,
)
from maskweave_client._command.looks import LOOK, LOOK_HELP, Looks, read_looks
from maskweave_client._command.options import output_options
from maskweave_client._requests import ImageFormat


@click.command()
@INPUTS
@click.option("--as", "kind", type=click.Choice(list(KINDS)), default="label-map", show_default=True)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Of the first image.  [default: a random one]"
)
@click.option("--images", type=click.IntRange(1), default=1, show_default=True, help="Of each drawing.")
@click.option("--style-strength", type=float, help="Weight of the seed's style.  [default: the model's]")
@click.option("--style", "styles", metavar=LOOK, multiple=True, help=f"How a class looks. {LOOK_HELP}")
@output_options
@batch_options
@connection_options
def draw(
    inputs: tuple[Path, ...],
    kind: str,
    seed: int | None,
    images: int,
    style_strength: float | None,
    styles: tuple[str, ...],
    model: str,
    model_version: str,
    output: Path,
    format_: str | None,
    quality: int | None,
    jobs: int,
    again: bool,
    **connection: Any,
) -> None:
    """Make images that follow drawings: label maps, sketches, scribbles or exemplars.

    A label map or a scribble is a PNG file of class ids, or painted in the model's colours (`maskweave models
    NAME` shows them). Of folders, every image is taken; --output is then a folder, too, what it has already
    is left as it is, and the calls are made as a batch, after everybody who waits for theirs.

    Exits with 1 if something failed; the same command then goes on with what is missing.
    """
    if styles and kind != "label-map":
        raise click.UsageError(f"--style: got it with {kind}; allowed: with label maps")
    one = is_one(inputs, output, IMAGE_ENDINGS)
    encoding: ImageFormat = image_format(output, one=one, given=format_)  # type: ignore[assignment]
    sources = found_inputs(inputs, output)
    tasks = image_tasks(sources, output, one=one, ending=ending_of(encoding), images=images)
    left = left_of(tasks, one=one, again=again)
    with connected(**connection) as client:
        described = client.model(model, version=model_version) if left else None
        looks = read_looks("--style", styles, client, described) if described else None

        def work(task: Task) -> str:
            assert described is not None
            assert looks is not None
            result = client.synthesize(
                model,
                **condition(kind, task.source.path, described),
                seed=seed,
                number_of_images=images,
                style_strength=style_strength,
                image_format=encoding,
                quality=quality,
                priority="interactive" if one else "batch",
                model_version=model_version,
                styles=_styles(looks, task, described),
            )
            for image, path in zip(result.images, task.outputs, strict=True):
                write(path, image.data)
            return "\n".join(
                f"{path}: {image.width} x {image.height}, seed {image.seed}"
                for image, path in zip(result.images, task.outputs, strict=True)
            )

        run(left, work, one=one, jobs=jobs, there=len(tasks) - len(left), address=connection["address"])


def _styles(looks: Looks, task: Task, model: Model) -> Any:
    if not (looks.rest or looks.named):
        return None
    return looks.fitted(classes_in(task.source.path, model))
