"""The verb `morph`: the way from some looks to others, as a GIF or as images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
from PIL import Image

from maskweave_client import MorphPath
from maskweave_client._command.batch import batch_options, left_of, run
from maskweave_client._command.connection import connected, connection_options
from maskweave_client._command.drawings import classes_in, label_map
from maskweave_client._command.files import (
    INPUTS,
    Input,
    Task,
    checked,
    found_inputs,
    image_tasks,
    is_one,
    write,
)
from maskweave_client._command.looks import LOOK, LOOK_HELP, read_looks
from maskweave_client._command.options import model_options


@click.command()
@INPUTS
@click.option(
    "--from", "from_", metavar=LOOK, multiple=True, required=True, help=f"Looks to begin with. {LOOK_HELP}"
)
@click.option("--to", metavar=LOOK, multiple=True, required=True, help="Looks to end with, in the same form.")
@click.option("--frames", type=click.IntRange(2), default=30, show_default=True)
@click.option(
    "--first-position",
    type=float,
    default=0.0,
    show_default=True,
    help="Below 0 lies before the first looks.",
)
@click.option(
    "--last-position", type=float, default=1.0, show_default=True, help="Above 1 lies beyond the last looks."
)
@click.option("--path", type=click.Choice(["linear", "spherical"]), default="linear", show_default=True)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Of the classes without looks.  [default: a random one]"
)
@click.option("--gif", is_flag=True, help="Write a GIF for each label map; follows from --output NAME.gif.")
@click.option(
    "--frame-ms", type=click.IntRange(20, 10_000), default=60, show_default=True, help="Of the GIF."
)
@click.option("--there-and-back", is_flag=True, help="Let the GIF go back the same way.")
@model_options
@batch_options
@connection_options
def morph(
    inputs: tuple[Path, ...],
    from_: tuple[str, ...],
    to: tuple[str, ...],
    frames: int,
    first_position: float,
    last_position: float,
    path: MorphPath,
    seed: int | None,
    gif: bool,
    frame_ms: int,
    there_and_back: bool,
    model: str,
    model_version: str,
    output: Path,
    jobs: int,
    again: bool,
    **connection: Any,
) -> None:
    """Make images of a label map on the way from some looks to others.

    For models with styles. --output is the GIF, or a folder for the frames as 001.png, 002.png and so on; of
    folders, it is a folder with a GIF, or a folder of frames, for each label map.

    Exits with 1 if something failed; the same command then goes on with what is missing.
    """
    one = is_one(inputs, output, (".gif",))
    sources = found_inputs(inputs, output)
    if one or gif:
        tasks = image_tasks(sources, output, one=one, ending=".gif", images=1)
    else:
        flat = len(inputs) == 1 and not inputs[0].is_dir()
        tasks = checked([_frames_of(each, output, frames, flat=flat) for each in sources])
    left = left_of(tasks, one=one, again=again)
    with connected(**connection) as client:
        described = client.model(model, version=model_version) if left else None
        looks = [
            read_looks(option, given, client, described) if described else None
            for option, given in (("--from", from_), ("--to", to))
        ]

        def work(task: Task) -> str:
            assert described is not None
            classes = classes_in(task.source.path, described)
            made = list(
                client.morph(
                    model,
                    label_map(task.source.path, described),
                    *(each.fitted(classes) for each in looks if each is not None),
                    number_of_frames=frames,
                    first_position=first_position,
                    last_position=last_position,
                    path=path,
                    seed=seed,
                    priority="interactive" if one else "batch",
                    model_version=model_version,
                )
            )
            if one or gif:
                images = [frame.image.to_pil() for frame in made]
                comment = (
                    f"trainedAlgorithmicMedia: made by {model} {made[0].model_version}, a generative model"
                )
                write(task.outputs[0], _gif(images, frame_ms, there_and_back, comment))
            else:
                for frame, target in zip(made, task.outputs, strict=True):
                    write(target, frame.image.data)
            return f"{task.outputs[0] if one or gif else task.outputs[0].parent}: {len(made)} frames"

        run(left, work, one=one, jobs=jobs, there=len(tasks) - len(left), address=connection["address"])


def _frames_of(source: Input, output: Path, frames: int, *, flat: bool) -> Task:
    folder = output if flat else output / source.place
    return Task(source, tuple(folder / f"{number:03}.png" for number in range(1, frames + 1)))


def _gif(images: list[Image.Image], frame_ms: int, there_and_back: bool, comment: str) -> bytes:
    """An animation that goes on for ever; its comment says how it came about, for want of a better place."""
    if there_and_back:
        images = images + images[-2:0:-1]
    file = io.BytesIO()
    images[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=frame_ms,
        loop=0,
        comment=comment.encode(),
        disposal=1,
    )
    return file.getvalue()
