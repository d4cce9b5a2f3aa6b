"""Shows on one sheet how images are edited: faces of seeds, and a photograph. A row for each edit.

Uses nothing but the client, NumPy and Pillow. `make demo` starts a service for it; with one of your own:

    python client/examples/demo_edits.py --address localhost:50051 --output demo_edits.png
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

from condition_sheet import options
from edit_sheet import Labels, closed_mouth, longer_hair, model_to_edit, more_hair, open_mouth
from PIL import Image, ImageDraw, ImageFont
from style_sheet import INK, LABEL_MAPS, TILE, Columns, read_label_map, rows_sheet

from maskweave_client import Client, Model, Result

PHOTOGRAPHS = Path(__file__).parent / "photographs"

Change = Callable[[Labels, Model], Labels]
"""Of the label map of what there is, the one of what there is to be."""

OF_SEEDS: tuple[tuple[str, int, str, Change], ...] = (
    ("longer hair", 7, "heldout_wide_smile", longer_hair),
    ("closed mouth", 6, "heldout_astonished", closed_mouth),
    ("open mouth", 6, "drawn_long_hair", open_mouth),
)
"""What is asked for, seed, its label map, and how that is changed."""
ALL_ANEW = (7, "heldout_fringe", "heldout_looking_right")
"""Seed, its label map, and the one of which all is made anew."""
OF_PHOTOGRAPHS: tuple[tuple[str, str, Change], ...] = (
    ("more hair", "astronaut", more_hair),
    ("closed mouth", "astronaut", closed_mouth),
)
"""What is asked for, photograph, and how its label map is changed."""


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "demo_edits.png")
    with Client(given.address) as client:
        model = model_to_edit(client, given.model)
        rows = [*_of_seeds(client, model)]
        if model.editing is not None and model.editing.images:
            rows += _of_photographs(client, model)
    title = f"{model.title} ({model.name} {model.version}): made anew where label maps differ"
    rows_sheet(title, rows).save(given.output)
    print(f"{len(rows)} edits: {given.output.resolve()}")


def _of_seeds(client: Client, model: Model) -> Iterator[tuple[str, Columns]]:
    for title, seed, name, change in OF_SEEDS:
        source = read_label_map(LABEL_MAPS / f"{name}.png", model)
        target = change(source, model)
        result = client.edit(model.name, seed, target, source=source)
        yield (
            f"seed {seed}:\n{title}",
            _columns(model, _made(client, model, seed, source), source, target, result),
        )
    seed, *names = ALL_ANEW
    before, target = (read_label_map(LABEL_MAPS / f"{name}.png", model) for name in names)
    result = client.edit(model.name, seed, target)
    title = f"seed {seed}:\nanother pose\n(no source label\nmap: all of it\nmade anew)"
    yield title, _columns(model, _made(client, model, seed, before), None, target, result)


def _of_photographs(client: Client, model: Model) -> Iterator[tuple[str, Columns]]:
    for title, name, change in OF_PHOTOGRAPHS:
        file = (PHOTOGRAPHS / f"{name}.png").read_bytes()
        source = read_label_map(PHOTOGRAPHS / "label_maps" / f"{name}.png", model)
        target = change(source, model)
        result = client.edit(model.name, file, target, source=source)
        image = Image.open(io.BytesIO(file))
        yield f"photograph:\n{title}", _columns(model, image, source, target, result)


def _made(client: Client, model: Model, seed: int, label_map: Labels) -> Image.Image:
    return client.synthesize(model.name, label_map, seed=seed).images[0].to_pil()


def _columns(
    model: Model, image: Image.Image, source: Labels | None, target: Labels, result: Result
) -> Columns:
    return [
        ("source", image),
        ("source label map", _none() if source is None else model.palette.color_image(source)),
        ("target label map", model.palette.color_image(target)),
        ("result", result.images[0].to_pil()),
    ]


def _none() -> Image.Image:
    """In place of a label map that is not given."""
    image = Image.new("RGB", (TILE, TILE), "#eeeeee")
    ImageDraw.Draw(image).text((TILE // 2, TILE // 2), "none", INK, ImageFont.load_default(16), anchor="mm")
    return image


if __name__ == "__main__":
    main()
