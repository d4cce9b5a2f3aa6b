"""Turns one label map into faces of six styles.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model with styles:

    python client/examples/styles_six.py --address localhost:50051 --output styles_six.png
"""

from __future__ import annotations

from style_sheet import model_with_styles, options, read_label_map, sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "styles_six.png")
    with Client(given.address) as client:
        model = model_with_styles(client, given.model)
        label_map = read_label_map(given.label_map, model)
        result = client.synthesize(model.name, label_map, seed=0, number_of_images=6)
        columns = [("label map", model.palette.color_image(label_map))]
        columns += [(f"seed {image.seed}", image.to_pil()) for image in result.images]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
