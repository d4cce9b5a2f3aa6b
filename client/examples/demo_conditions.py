"""Shows on one sheet what a model makes of every kind of condition besides label maps: a row for each sample.

Uses nothing but the client, NumPy and Pillow. `make demo` starts a service for it; with one of your own:

    python client/examples/demo_conditions.py --address localhost:50051 --output demo_conditions.png
"""

from __future__ import annotations

from condition_sheet import SEEDS, columns_of, model_for, options, samples
from style_sheet import Columns, rows_sheet

from maskweave_client import Client


def main() -> None:
    """Make the sheet."""
    given = options(__doc__, "demo_conditions.png")
    rows: list[tuple[str, Columns]] = []
    with Client(given.address) as client:
        model = model_for(client, given.model, {"sketch", "scribble", "proxy_mask", "exemplar"})
        for sample in samples(model):
            made = client.synthesize(model.name, seeds=SEEDS, **sample.condition)
            asked = sample.title.replace(" ", "\n", 1)
            rows.append((asked, [(sample.kind, sample.shown), *columns_of(made)]))
    name = f"{model.title} ({model.name} {model.version})"
    title = f"{name}: the shape of what is on the left, in the style of each seed"
    rows_sheet(title, rows).save(given.output)
    print(f"{len(rows) * len(SEEDS)} images of {len(rows)} conditions: {given.output.resolve()}")


if __name__ == "__main__":
    main()
