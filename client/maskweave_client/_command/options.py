"""Options of all verbs that write images."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from maskweave_client._command.connection import Command

_MODEL: tuple[Callable[[Any], Any], ...] = (
    click.option("--model", required=True, help="Name of the model: `maskweave models` lists them."),
    click.option(
        "--model-version",
        default="",
        metavar="VERSION",
        help="Of the model.  [default: the service's default]",
    ),
    click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        help="The file to write; a folder where a folder or several files are read.",
    ),
)

_IMAGES: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--format",
        "format_",
        type=click.Choice(["png", "jpeg", "webp"]),
        help="Of the images in a folder; of one file its ending says.  [default: png]",
    ),
    click.option("--quality", type=click.IntRange(1, 100), help="Of jpeg and webp.  [default: 90]"),
)


def model_options(command: Command) -> Command:
    """Give a command the options of the model and the output."""
    return reduce(lambda decorated, option: option(decorated), reversed(_MODEL), command)


def output_options(command: Command) -> Command:
    """Give a command the options of the model, the output and the images' format."""
    return reduce(lambda decorated, option: option(decorated), reversed((*_MODEL, *_IMAGES)), command)
