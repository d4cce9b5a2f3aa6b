"""Shows on one sheet what a model of avatars does: six rows, each a use of its own.

Uses nothing but the client, NumPy and Pillow. `make demo` starts a service for it; with one of your own:

    python client/examples/demo_avatars.py --address localhost:50051 --output demo_avatars.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from style_sheet import Columns, class_of, model_with_styles, options, read_label_map, rows_sheet

from maskweave_client import Client, Model, Seed

LABEL_MAPS = Path(__file__).parent / "avatars"
LOOK = 5
"""The seed of the first row's last avatar, whose looks the others have."""
CHANGED = (("long_hair", "hair"), ("bob", "clothes"), ("hat", "glasses"), ("beard", "facial_hair"))
"""Label maps, and the class of which only the style is changed."""


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "demo_avatars.png", "avatars128_styles")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        rows = [("one label map,\nsix seeds", _seeds(client, model, "curls"))]
        for name, part in CHANGED:
            rows.append((f"only the style of\n{part.replace('_', ' ')}", _changed(client, model, name, part)))
        rows.append(("from one seed's\nlooks to another's", _morph(client, model, "glasses")))
    rows_sheet(f"{model.title} ({model.name} {model.version})", rows).save(given.output)
    print(f"{sum(len(columns) for _, columns in rows)} images: {given.output.resolve()}")


def _seeds(client: Client, model: Model, name: str) -> Columns:
    label_map = read_label_map(LABEL_MAPS / f"heldout_{name}.png", model)
    made = client.synthesize(model.name, label_map, seed=0, number_of_images=6)
    return [
        ("label map", model.palette.color_image(label_map)),
        *((f"seed {image.seed}", image.to_pil()) for image in made.images),
    ]


def _changed(client: Client, model: Model, name: str, part: str) -> Columns:
    label_map, class_id = read_label_map(LABEL_MAPS / f"heldout_{name}.png", model), class_of(model, part)
    columns = [("label map", model.palette.color_image(label_map))]
    for seed in range(1, 7):
        made = client.synthesize(model.name, label_map, seed=LOOK, styles={class_id: Seed(seed)})
        columns.append((f"{part.replace('_', ' ')} of seed {seed}", made.images[0].to_pil()))
    return columns


def _morph(client: Client, model: Model, name: str) -> Columns:
    label_map = read_label_map(LABEL_MAPS / f"heldout_{name}.png", model)
    assert model.styles is not None
    there = set(np.unique(label_map).tolist())
    parts = [
        shown[0] for group in model.styles.styles if (shown := [each for each in group if each in there])
    ]
    looks = ({part: Seed(seed) for part in parts} for seed in (1, 2))
    frames = client.morph(model.name, label_map, *looks, number_of_frames=7)
    return [(f"{frame.position:.2f}", frame.image.to_pil()) for frame in frames]


if __name__ == "__main__":
    main()
