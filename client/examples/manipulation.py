"""Keeps the looks of a face and changes where everything is: the same person under another label map.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model with styles:

    python client/examples/manipulation.py --address localhost:50051 --output manipulation.png
"""

from __future__ import annotations

import numpy as np
from style_sheet import model_with_styles, options, read_label_map, sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "manipulation.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        label_map = read_label_map(given.label_map, model)
        face = client.synthesize(model.name, label_map, seed=5).images[0].to_pil()
        codes = client.encode_styles(model.name, face, label_map)
        other = read_label_map(given.other_label_map, model)
        there = set(np.unique(other).tolist())  # a class may be missing from the other label map
        kept = {each: code for each, code in codes.items() if there & set(code.covered_class_ids)}
        changed = client.synthesize(model.name, other, seed=5, styles=kept).images[0].to_pil()
        columns = [
            ("label map", model.palette.color_image(label_map)),
            ("face", face),
            ("another label map", model.palette.color_image(other)),
            ("the same looks", changed),
        ]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
