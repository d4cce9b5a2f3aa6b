"""Turns every sample label map into faces for several seeds and puts them on one sheet.

Uses nothing but the client, NumPy and Pillow. `make demo` starts a service for it; with one of your own:

    python client/examples/demo.py --address localhost:50051 --output demo.png
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskweave_client import Client, Palette, Timings

LABEL_MAPS = Path(__file__).parent / "label_maps"
SEEDS = (3, 4, 6, 7, 10)

TILE = 192  # pixels of the sheet per side of an image: three for each of faces64's
GAP = 8
ROW_TITLE = 170
HEADER = 72
LEGEND = 56
INK, PAPER = "#202020", "#ffffff"


def main() -> None:
    """Make the sheet, and say where the time went and where the sheet is."""
    options = _options()
    label_maps = {path.stem.replace("_", " "): Image.open(path) for path in sorted(LABEL_MAPS.glob("*.png"))}
    rows: dict[str, list[Image.Image]] = {}
    spent: list[tuple[float, Timings]] = []
    with Client(options.address) as client:
        model = client.model(options.model)
        for title, label_map in label_maps.items():
            rows[title] = [model.palette.color_image(np.asarray(label_map))]
            for seed in SEEDS:
                started = time.perf_counter()
                result = client.synthesize(model.name, label_map, seed=seed)
                spent.append((time.perf_counter() - started, result.timings))
                rows[title].append(result.images[0].to_pil())
    title = f"{model.title} ({model.name} {model.version}): {model.description}"
    sheet(title, rows, model.palette).save(options.output)
    print(latency_table(spent))
    print(f"\n{len(spent)} images of {len(rows)} label maps: {options.output.resolve()}")


def sheet(title: str, rows: dict[str, list[Image.Image]], palette: Palette) -> Image.Image:
    """One row for each label map: the map, then an image for each seed."""
    width = ROW_TITLE + (1 + len(SEEDS)) * (TILE + GAP) + GAP
    height = HEADER + len(rows) * (TILE + GAP) + LEGEND
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    large, small = ImageFont.load_default(22), ImageFont.load_default(16)

    draw.text((GAP, 8), title, INK, large)
    for column, heading in enumerate(["label map", *(f"seed {seed}" for seed in SEEDS)]):
        middle = ROW_TITLE + column * (TILE + GAP) + TILE // 2
        draw.text((middle, HEADER - 8), heading, INK, small, anchor="ms")
    for row, (name, images) in enumerate(rows.items()):
        top = HEADER + row * (TILE + GAP)
        draw.multiline_text((GAP, top + TILE // 2), name, INK, small, anchor="lm")
        for column, image in enumerate(images):
            # A label map has no colours in between; a photograph has.
            resampling = Image.Resampling.BICUBIC if column else Image.Resampling.NEAREST
            tile = image.convert("RGB").resize((TILE, TILE), resampling)
            page.paste(tile, (ROW_TITLE + column * (TILE + GAP), top))

    left, top = GAP, height - LEGEND // 2
    for entry in palette:
        draw.rectangle((left, top - 9, left + 18, top + 9), entry.color)
        draw.text((left + 26, top), entry.title, INK, small, anchor="lm")
        left += 26 + math.ceil(draw.textlength(entry.title, small)) + 28
    return page


def latency_table(spent: Sequence[tuple[float, Timings]]) -> str:
    """Percentiles by stage, in milliseconds, of requests for one image each.

    Args:
        spent: For each request, the seconds that the client saw and the service's own account.
    """
    timings = [each for _, each in spent]
    computed: dict[str, list[float]] = {}
    cached: dict[str, int] = {}
    for stage in (stage for each in timings for stage in each.stages):
        computed.setdefault(stage.stage, [])
        if stage.cached:
            cached[stage.stage] = cached.get(stage.stage, 0) + 1
        else:
            computed[stage.stage].append(stage.compute_seconds)
    lines = [f"{'stage':<32}{'p50 ms':>8}{'p99 ms':>8}{'runs':>6}{'cached':>8}"]

    def line(name: str, seconds: Sequence[float], from_cache: int | str = "") -> None:
        p50, p99 = (f"{percentile(seconds, q) * 1e3:.2f}" if seconds else "-" for q in (50, 99))
        lines.append(f"{name:<32}{p50:>8}{p99:>8}{len(seconds):>6}{from_cache:>8}")

    line("queue", [each.queue_seconds for each in timings])
    line("decode", [each.decode_seconds for each in timings])
    for name, seconds in computed.items():
        line(name, seconds, cached.get(name, 0))
    line("encode", [each.encode_seconds for each in timings])
    line("total in the service", [each.total_seconds for each in timings])
    line("as the client sees it", [observed for observed, _ in spent])
    return "\n".join(lines)


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile: a value that was measured."""
    return sorted(values)[max(0, math.ceil(q / 100 * len(values)) - 1)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default=os.environ.get("MASKWEAVE_ADDRESS", "localhost:50051"))
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--output", type=Path, default=Path("demo.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
