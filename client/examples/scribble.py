"""Draws a face with a few strokes and shows what the model makes of it after some, more and all of them.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model for scribbles:

    python client/examples/scribble.py --address localhost:50051 --output scribble.png
"""

from __future__ import annotations

from condition_sheet import STROKES, image_of, model_for, options, scribble_of
from style_sheet import Columns, sheet

from maskweave_client import Client

SEED = 7
AFTER = (3, 9, len(STROKES))
"""Numbers of strokes after which there is an image."""


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "scribble.png")
    columns: Columns = []
    with Client(given.address) as client:
        model = model_for(client, given.model, {"scribble"})
        for count in AFTER:
            scribble = scribble_of(model, count)
            made = client.synthesize(model.name, scribble=scribble, seed=SEED)
            columns += [
                (f"{count} strokes", image_of(scribble, model)),
                (f"seed {SEED}", made.images[0].to_pil()),
            ]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
