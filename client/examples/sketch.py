"""Turns a sketch, dark lines on white or on nothing, into faces for several seeds.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model for sketches:

    python client/examples/sketch.py --address localhost:50051 --output sketch.png
"""

from __future__ import annotations

from condition_sheet import SEEDS, columns_of, model_for, on_white, options
from PIL import Image
from style_sheet import sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "sketch.png", "sketches/drawn_long_hair.png")
    with Client(given.address) as client, Image.open(given.input) as sketch:
        model = model_for(client, given.model, {"sketch"})
        made = client.synthesize(model.name, sketch=sketch, seeds=SEEDS)
        columns = [("sketch", on_white(sketch)), *columns_of(made)]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
