"""Edits an image: longer hair, a wider mouth, no nose; what is not edited stays as it was.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model that can be edited:

    python client/examples/edit.py --address localhost:50051 --output edit.png

By default it edits the face of a seed, and then the same face again as an image, which the service has never
seen. With `--image` and `--image-map` it edits yours, of the model's size and aligned as its faces are.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edit_sheet import Labels, model_to_edit, more_hair, no_nose, wider_mouth
from PIL import Image
from style_sheet import LABEL_MAPS, Columns, read_label_map, rows_sheet

from maskweave_client import Client, Model


def main() -> None:
    """Make the sheet."""
    given = _options()
    with Client(given.address) as client:
        model = model_to_edit(client, given.model)
        label_map = read_label_map(given.image_map or given.label_map, model)
        if given.image is None:
            face = client.synthesize(model.name, label_map, seed=given.seed).images[0].to_pil()
            rows = [("of a seed", _row(client, model, given.seed, face, label_map))]
        else:
            with Image.open(given.image) as image:
                face, rows = image.convert("RGB"), []
        if model.editing is not None and model.editing.images:
            rows.append(("as an image", _row(client, model, face, face, label_map)))
    rows_sheet(f"Edits, {model.title}", rows).save(given.output)
    print(f"{sum(len(columns) for _, columns in rows)} images: {given.output.resolve()}")


def _row(
    client: Client, model: Model, what: Image.Image | int, face: Image.Image, label_map: Labels
) -> Columns:
    columns: Columns = [("label map", model.palette.color_image(label_map)), ("as it is", face)]
    for title, target in _targets(model, label_map).items():
        changed = client.edit(model.name, what, target, source=label_map).images[0]
        columns.append((title, changed.to_pil()))
    return columns


def _targets(model: Model, label_map: Labels) -> dict[str, Labels]:
    """The label maps that are wished for, by title."""
    return {
        "more hair": more_hair(label_map, model),
        "a wider mouth": wider_mouth(label_map, model),
        "no nose": no_nose(label_map, model),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default=os.environ.get("MASKWEAVE_ADDRESS", "localhost:50051"))
    parser.add_argument("--model", help="a model that can be edited; the first of the service by default")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--label-map", type=Path, default=LABEL_MAPS / "heldout_tilted.png")
    parser.add_argument("--image", type=Path, help="an image to edit, with --image-map")
    parser.add_argument("--image-map", type=Path, help="the label map that it has now")
    parser.add_argument("--output", type=Path, default=Path("edit.png"))
    given = parser.parse_args()
    if (given.image is None) != (given.image_map is None):
        parser.error("--image and --image-map go together")
    return given


if __name__ == "__main__":
    main()
