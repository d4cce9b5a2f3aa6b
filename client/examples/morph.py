"""Morphs one face into another, from a little before the one to a little beyond the other.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model with styles:

    python client/examples/morph.py --address localhost:50051 --output morph.png
"""

from __future__ import annotations

from style_sheet import model_with_styles, options, read_label_map, sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "morph.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        label_map = read_label_map(given.label_map, model)
        one, other = (
            image.to_pil() for image in client.synthesize(model.name, label_map, seeds=[3, 4]).images
        )
        ones, others = (client.encode_styles(model.name, image, label_map) for image in (one, other))
        frames = client.morph(
            model.name,
            label_map,
            ones,
            others,
            number_of_frames=9,
            first_position=-0.5,
            last_position=1.5,
            path="spherical",
        )
        columns = [(f"{frame.position:g}", frame.image.to_pil()) for frame in frames]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
