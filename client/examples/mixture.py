"""Gives a face the looks of two others: the hair of one, the rest of the other, and halves of both.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model with styles:

    python client/examples/mixture.py --address localhost:50051 --output mixture.png
"""

from __future__ import annotations

from style_sheet import class_of, model_with_styles, options, read_label_map, sheet

from maskweave_client import Client, blend


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "mixture.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        label_map = read_label_map(given.label_map, model)
        class_id = class_of(model, given.class_name)
        one, other = (
            image.to_pil() for image in client.synthesize(model.name, label_map, seeds=[3, 4]).images
        )
        ones, others = (client.encode_styles(model.name, image, label_map) for image in (one, other))
        taken = client.synthesize(model.name, label_map, seed=0, styles={**ones, class_id: others[class_id]})
        halves = {each: blend((ones[each], 0.5), (others[each], 0.5)) for each in ones}
        mixed = client.synthesize(model.name, label_map, seed=0, styles=halves)
        columns = [
            ("one", one),
            ("the other", other),
            (f"one with the other's {given.class_name}", taken.images[0].to_pil()),
            ("half of each", mixed.images[0].to_pil()),
        ]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
