"""What the examples of conditions share: their options, and the samples of every kind of condition."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from style_sheet import Columns

from maskweave_client import Client, Model, Result, Scribble, Stroke

EXAMPLES = Path(__file__).parent
SEEDS = (3, 4, 6, 7, 10)
CANVAS = 64
"""Width and height of the canvas of `STROKES` in pixels."""

STROKES: tuple[tuple[str, int, tuple[tuple[int, int], ...]], ...] = (
    ("background", 5, ((5, 6), (5, 44))),
    ("background", 5, ((59, 6), (59, 44))),
    ("hair", 7, ((13, 34), (16, 16), (32, 7), (48, 16), (51, 34))),
    ("skin", 4, ((22, 23), (42, 23))),
    ("skin", 4, ((17, 40), (24, 52), (32, 56), (40, 52), (47, 40))),
    ("brows", 2, ((19, 25), (28, 24))),
    ("brows", 2, ((37, 24), (46, 25))),
    ("eyes", 3, ((21, 30), (26, 30))),
    ("eyes", 3, ((39, 30), (44, 30))),
    ("nose", 3, ((33, 31), (30, 41), (36, 42))),
    ("mouth", 3, ((25, 48), (32, 51), (40, 48))),
    ("neck", 4, ((14, 61), (28, 62))),
    ("neck", 4, ((37, 62), (51, 61))),
)
"""A face by a few strokes: name of the class, width and points of each."""


@dataclass(frozen=True)
class Sample:
    """A condition to try.

    Attributes:
        kind: Of the condition.
        title: What it shows.
        shown: How people see it.
        condition: The argument of `Client.synthesize`.
    """

    kind: str
    title: str
    shown: Image.Image
    condition: dict[str, Any]


def options(description: str | None, output: str, sample: str | None = None) -> argparse.Namespace:
    """The options of an example; `sample` is the file that it takes by default, if it takes one."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default=os.environ.get("MASKWEAVE_ADDRESS", "localhost:50051"))
    parser.add_argument("--model", help="the first that takes such a condition by default")
    if sample is not None:
        parser.add_argument("--input", type=Path, default=EXAMPLES / sample)
    parser.add_argument("--output", type=Path, default=Path(output))
    return parser.parse_args()


def model_for(client: Client, name: str | None, kinds: set[str]) -> Model:
    """The model of a name, or the first that takes one of these kinds of condition.

    Raises:
        SystemExit: There is none.
    """
    for model in client.models():
        if kinds & {condition.kind for condition in model.conditions} and name in (None, model.name):
            return model
    raise SystemExit(f"the service offers no such model for conditions of the kind {' or '.join(kinds)}")


def columns_of(result: Result) -> Columns:
    """The images of a result, each under its seed."""
    return [(f"seed {image.seed}", image.to_pil()) for image in result.images]


def on_white(image: Image.Image) -> Image.Image:
    """A sketch as it looks on paper."""
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def scribble_of(model: Model, strokes: int = len(STROKES)) -> Scribble:
    """The first of `STROKES` as a condition."""
    return Scribble(
        [Stroke(model.palette.by_name(name).id, points, width) for name, width, points in STROKES[:strokes]],
        CANVAS,
        CANVAS,
    )


def image_of(scribble: Scribble, model: Model) -> Image.Image:
    """About what strokes look like, on white."""
    scale = 4
    image = Image.new("RGB", (CANVAS * scale, CANVAS * scale), "white")
    draw = ImageDraw.Draw(image)
    colors = {entry.id: entry.color for entry in model.palette}
    for stroke in scribble.strokes:
        points = [(x * scale, y * scale) for x, y in stroke.points]
        width = round(stroke.width * scale)
        draw.line(points, colors[stroke.class_id], width, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse(
                (x - width / 2, y - width / 2, x + width / 2, y + width / 2), colors[stroke.class_id]
            )
    return image


def samples(model: Model) -> list[Sample]:
    """Samples of every kind of condition besides label maps that the model takes."""
    return [
        sample
        for condition in model.conditions
        if condition.kind in _SAMPLES
        for sample in _SAMPLES[condition.kind](model)
    ]


def _sketches(_: Model) -> Iterator[Sample]:
    for title, image in _opened("sketches"):
        yield Sample("sketch", title, on_white(image), {"sketch": image})


def _scribbles(model: Model) -> Iterator[Sample]:
    for title, image in _opened("scribbles"):
        yield Sample("scribble", title, image, {"scribble": image})
    scribble = scribble_of(model)
    yield Sample("scribble", "frontal face", image_of(scribble, model), {"scribble": scribble})


def _proxy_masks(_: Model) -> Iterator[Sample]:
    for title, image in _opened("proxy_masks"):
        yield Sample("proxy mask", title, image, {"proxy_mask": np.asarray(image)})


def _exemplars(_: Model) -> Iterator[Sample]:
    for title, image in _opened("exemplars"):
        yield Sample("exemplar", title, image, {"exemplar": image})


def _opened(folder: str) -> Iterator[tuple[str, Image.Image]]:
    for path in sorted((EXAMPLES / folder).glob("*.png")):
        image = Image.open(path)
        image.load()
        yield path.stem.replace("_", " "), image


_SAMPLES: dict[str, Callable[[Model], Iterator[Sample]]] = {
    "sketch": _sketches,
    "scribble": _scribbles,
    "proxy_mask": _proxy_masks,
    "exemplar": _exemplars,
}
