"""Takes over the structure of an image, and everything else from seeds.

Uses nothing but the client, NumPy and Pillow. With a service that offers a model for exemplars:

    python client/examples/exemplar.py --address localhost:50051 --output exemplar.png
"""

from __future__ import annotations

from condition_sheet import SEEDS, columns_of, model_for, options
from PIL import Image
from style_sheet import sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "exemplar.png", "exemplars/long_hair.png")
    with Client(given.address) as client, Image.open(given.input) as image:
        model = model_for(client, given.model, {"exemplar"})
        exemplar = image.convert("RGB")
        made = client.synthesize(model.name, exemplar=exemplar, seeds=SEEDS)
        columns = [("exemplar", exemplar), *columns_of(made)]
    sheet(columns).save(given.output)
    print(f"{len(columns)} images: {given.output.resolve()}")


if __name__ == "__main__":
    main()
