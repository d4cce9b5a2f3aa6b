"""Shows on one sheet what a model with styles can do: five rows, each a use of its own.

The people are images of a second model, which stand in for photographs. Uses nothing but the client, NumPy
and Pillow. `make demo` starts a service for it; with one of your own:

    python client/examples/demo_styles.py --address localhost:50051 --output demo_styles.png
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from style_sheet import (
    LABEL_MAPS,
    Columns,
    class_of,
    model_with_styles,
    options,
    read_label_map,
    rows_sheet,
)

from maskweave_client import Client, Model, Seed, StyleCode

PEOPLE = (("A", "heldout_fringe", 6), ("B", "heldout_astonished", 7), ("C", "drawn_long_hair", 3))
"""Each with the label map and the seed that the second model makes an image of."""
PEOPLE_MODEL = "faces64"


@dataclass(frozen=True)
class Person:
    """An image, the label map that says what is where in it, and the codes read off it."""

    name: str
    image: Image.Image
    label_map: NDArray[np.uint8]
    codes: dict[int, StyleCode]


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "demo_styles.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        people = [
            _person(client, model, name, LABEL_MAPS / f"{map_name}.png", seed)
            for name, map_name, seed in PEOPLE
        ]
        rows = [
            ("one label map,\nsix styles", _six_styles(client, model, people[0].label_map)),
            ("only the hair\nchanged", _hair(client, model, people[0])),
            ("the looks of\nthree people\nmixed", _mixture(client, model, people)),
            ("another label\nmap, the same\nlooks", _manipulation(client, model, people[0])),
            ("from A's looks\nto B's", _morph(client, model, people[0], people[1])),
        ]
    rows_sheet(f"{model.title} ({model.name} {model.version})", rows).save(given.output)
    print(f"{sum(len(columns) for _, columns in rows)} images: {given.output.resolve()}")


def _person(client: Client, model: Model, name: str, path: Path, seed: int) -> Person:
    label_map = read_label_map(path, model)
    image = client.synthesize(PEOPLE_MODEL, label_map, seed=seed).images[0].to_pil()
    return Person(name, image, label_map, client.encode_styles(model.name, image, label_map))


def _six_styles(client: Client, model: Model, label_map: NDArray[np.uint8]) -> Columns:
    made = client.synthesize(model.name, label_map, seed=0, number_of_images=6)
    return [
        ("label map", model.palette.color_image(label_map)),
        *((f"seed {image.seed}", image.to_pil()) for image in made.images),
    ]


def _hair(client: Client, model: Model, person: Person) -> Columns:
    hair = class_of(model, "hair")
    columns = [
        (f"person {person.name}", person.image),
        ("in their own codes", _made(client, model, person.label_map, person.codes)),
    ]
    for seed in range(1, 6):
        changed = _made(client, model, person.label_map, {**person.codes, hair: Seed(seed)})
        columns.append((f"hair of seed {seed}", changed))
    return columns


def _mixture(client: Client, model: Model, people: list[Person]) -> Columns:
    a, b, c = people
    hair, skin, brows = (class_of(model, name) for name in ("hair", "skin", "brows"))
    with_hair = {**a.codes, hair: b.codes[hair]}
    with_both = {**with_hair, skin: c.codes[skin], brows: c.codes[brows]}
    return [
        *((f"person {person.name}", person.image) for person in people),
        ("A in B's hair", _made(client, model, a.label_map, with_hair)),
        ("and C's skin, brows", _made(client, model, a.label_map, with_both)),
        ("the same, B's map", _made(client, model, b.label_map, with_both)),
    ]


def _manipulation(client: Client, model: Model, person: Person) -> Columns:
    hair, background = class_of(model, "hair"), class_of(model, "background")
    shorn = person.label_map.copy()
    shorn[shorn == hair] = background
    columns = [
        ("label map", model.palette.color_image(person.label_map)),
        ("as it is", _made(client, model, person.label_map, person.codes)),
    ]
    other = read_label_map(LABEL_MAPS / "heldout_astonished.png", model)
    for title, label_map in (("hair removed", shorn), ("another face's", other)):
        columns.append((title, model.palette.color_image(label_map)))
        columns.append(("the same looks", _made(client, model, label_map, person.codes)))
    return columns


def _morph(client: Client, model: Model, one: Person, other: Person) -> Columns:
    ends = (_fitting(one.label_map, person.codes) for person in (one, other))
    frames = client.morph(model.name, one.label_map, *ends, number_of_frames=8)
    return [(f"{frame.position:.2f}", frame.image.to_pil()) for frame in frames]


def _made(
    client: Client, model: Model, label_map: NDArray[np.uint8], styles: Mapping[int, StyleCode | Seed]
) -> Image.Image:
    """An image in those styles whose classes the label map has."""
    fitting = _fitting(label_map, styles)
    return client.synthesize(model.name, label_map, seed=0, styles=fitting).images[0].to_pil()


def _fitting(
    label_map: NDArray[np.uint8], styles: Mapping[int, StyleCode | Seed]
) -> dict[int, StyleCode | Seed]:
    there = set(np.unique(label_map).tolist())
    return {
        each: style
        for each, style in styles.items()
        if there & set(style.covered_class_ids if isinstance(style, StyleCode) else (each,))
    }


if __name__ == "__main__":
    main()
