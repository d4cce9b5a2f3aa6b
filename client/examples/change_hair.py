"""Changes the hair of one face, and nothing else.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model with styles:

    python client/examples/change_hair.py --address localhost:50051 --output change_hair.png
"""

from __future__ import annotations

from style_sheet import class_of, model_with_styles, options, read_label_map, sheet

from maskweave_client import Client, Seed


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "change_hair.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        label_map = read_label_map(given.label_map, model)
        class_id = class_of(model, given.class_name)
        columns = [("label map", model.palette.color_image(label_map))]
        face = client.synthesize(model.name, label_map, seed=7).images[0]
        columns.append(("as it is", face.to_pil()))
        for seed in (1, 2, 3, 4):
            changed = client.synthesize(model.name, label_map, seed=7, styles={class_id: Seed(seed)})
            columns.append((f"{given.class_name} of seed {seed}", changed.images[0].to_pil()))
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
