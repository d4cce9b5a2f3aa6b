"""Asks the rearranger for a proxy mask as it is, and for the same mirrored: for experts.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model for proxy masks:

    python client/examples/proxy_mask.py --address localhost:50051 --output proxy_mask.png
"""

from __future__ import annotations

import numpy as np
from condition_sheet import columns_of, model_for, options
from PIL import Image
from style_sheet import Columns, sheet

from maskweave_client import Client

SEEDS = (3, 7)


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "proxy_mask.png", "proxy_masks/looking_right.png")
    columns: Columns = []
    with Client(given.address) as client, Image.open(given.input) as image:
        model = model_for(client, given.model, {"proxy_mask"})
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for title, mask in (("proxy mask", image), ("mirrored", mirrored)):
            made = client.synthesize(model.name, proxy_mask=np.asarray(mask), seeds=SEEDS)
            columns += [(title, mask), *columns_of(made)]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
