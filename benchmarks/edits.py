"""How good edits are: what stays where nothing changed, and what is read off where something did.

`python -m benchmarks.edits --pack faces64` starts a service on free ports, takes held-out label maps (made by
`maskweave data`), edits what their seeds gave, first as seeds and then as images, and has the results read
back by the labelling tool (`make labels-env`). Figures and sheets go to `runs/benchmarks/edits`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.edit_wishes import WISHES, Change, Labels
from benchmarks.local_service import local_service
from maskweave_client import Client, Palette

Pixels = NDArray[np.uint8]

OUTPUT = Path("runs/benchmarks/edits")
LABELLER = (".venv/labels/bin/python", "-m", "training.data.face_labeller")
SHOWN, TILE = 12, 96


@click.command()
@click.option("--pack", default="faces64", show_default=True)
@click.option("--samples", type=click.IntRange(2), default=200, show_default=True)
@click.option("--address", help="A service that runs already.  [default: start one]")
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help=".npy of uint8 images [N, H, W, 3], of the size and aligned as the model's: draws their sheet.",
)
def main(pack: str, samples: int, address: str | None, photographs: Path | None) -> None:
    """Measure edits, and draw their sheets."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        at = address or stack.enter_context(local_service()).address
        client = stack.enter_context(Client(at))
        if photographs is not None:
            _photographs(client, pack, np.load(photographs))
            return
        seeds, labels = _heldout(pack, samples)
        originals = np.stack([_made(client, pack, *each) for each in zip(seeds, labels, strict=True)])
        palette, results = client.model(pack).palette, {}
        for wish, change in WISHES.items():
            targets = _wished(change, labels, np.roll(labels, 1, 0))
            for kind, sources in (("seeds", seeds), ("images", list(originals))):
                made = _edited(client, pack, sources, labels, targets)
                results[f"{wish}, {kind}"] = (targets, made)
                _sheet(palette, labels, originals, targets, made).save(OUTPUT / f"{wish}_{kind}.png")
    # All at once: the labelling tool takes seconds to start.
    before, *read = np.split(
        _read(np.concatenate([originals, *(made for _, made in results.values())])), 1 + len(results)
    )
    rows = {
        name: {
            **_figures(originals, made, labels, targets, seen),
            "inside_accuracy_before": float((before == targets)[labels != targets].mean()),
        }
        for (name, (targets, made)), seen in zip(results.items(), read, strict=True)
    }
    (OUTPUT / "edits.json").write_text(json.dumps(rows, indent=2) + "\n")
    click.echo(_table(rows))


def _wished(change: Change, labels: Labels, others: Labels) -> Labels:
    return np.stack([change(own, other) for own, other in zip(labels, others, strict=True)])


def _edited(
    client: Client, pack: str, sources: Sequence[int | Pixels], labels: Labels, targets: Labels
) -> Pixels:
    return np.stack(
        [
            client.edit(pack, what, target, source=own).images[0].to_numpy()
            for what, own, target in zip(sources, labels, targets, strict=True)
        ]
    )


def _made(client: Client, pack: str, seed: int, label_map: Labels) -> Pixels:
    return client.synthesize(pack, label_map, seed=seed).images[0].to_numpy()


def _heldout(pack: str, samples: int) -> tuple[list[int], Labels]:
    """Seeds and label maps of the first held-out samples, as `maskweave data` keeps them."""
    seeds: list[int] = []
    maps: list[Labels] = []
    for path in sorted((Path("data") / pack / "heldout").glob("*.npz")):
        with np.load(path) as stored:
            side, packed = int(stored["side"]), stored["packed"].tobytes()
            ends = np.cumsum(stored["lengths"])
            for index in stored["detected"].nonzero()[0]:
                one = packed[ends[index] - stored["lengths"][index] : ends[index]]
                maps.append(np.frombuffer(zlib.decompress(one), np.uint8).reshape(side, side))
                seeds.append(int(stored["seeds"][index]))
    return seeds[:samples], np.stack(maps[:samples])


def _read(images: Pixels) -> Labels:
    """What the labelling tool reads off images, uint8 `[N, H, W]`."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "images.npy", Path(folder) / "labels.npz"
        np.save(source, images)
        subprocess.run([*LABELLER, str(source), str(target)], check=True, stderr=subprocess.DEVNULL)
        with np.load(target) as labelled:
            read: Labels = labelled["labels"]
    return read


def _figures(
    originals: Pixels, results: Pixels, labels: Labels, targets: Labels, read: Labels
) -> Mapping[str, float]:
    """Of one kind of edit; differences in levels of 0 to 255."""
    changed = labels != targets
    apart = np.abs(results.astype(int) - originals).mean(3)
    classes = int(max(labels.max(), targets.max())) + 1
    codes = targets[changed].astype(int) * classes + read[changed]
    confusion = np.bincount(codes, minlength=classes * classes).reshape(classes, classes)
    hits, union = confusion.diagonal(), confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return {
        "changed_share": float(changed.mean()),
        "outside_difference": float(apart[~changed].mean()),
        "outside_untouched": float((apart[~changed] == 0).mean()),
        "inside_difference": float(apart[changed].mean()),
        "inside_accuracy": float(hits.sum() / max(changed.sum(), 1)),
        "inside_miou": float((hits / np.maximum(union, 1))[confusion.sum(1) > 0].mean()),
    }


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        "| edit | changed | outside: difference | untouched | inside: difference | accuracy | before | IoU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['changed_share']:.1%} | {row['outside_difference']:.2f} "
            f"| {row['outside_untouched']:.1%} | {row['inside_difference']:.1f} "
            f"| {row['inside_accuracy']:.3f} | {row['inside_accuracy_before']:.3f} "
            f"| {row['inside_miou']:.3f} |"
        )
    return "\n".join(lines)


def _photographs(client: Client, pack: str, images: Pixels) -> None:
    """A sheet for the first wishes: a column a photograph, and for each wish its map and what came of it."""
    palette, labels = client.model(pack).palette, _read(images)
    _, heldout = _heldout(pack, len(images))
    rows = [images, _painted(palette, labels)]
    for change in WISHES.values():
        targets = _wished(change, labels, heldout)
        rows += [_painted(palette, targets), _edited(client, pack, list(images), labels, targets)]
    _tiled(rows).save(OUTPUT / "photographs.png")
    click.echo(f"{OUTPUT / 'photographs.png'}: {', '.join(WISHES)}")


def _sheet(
    palette: Palette, labels: Labels, originals: Pixels, targets: Labels, results: Pixels
) -> Image.Image:
    rows = [_painted(palette, labels), originals, _painted(palette, targets), results]
    return _tiled([row[:SHOWN] for row in rows])


def _painted(palette: Palette, labels: Labels) -> Pixels:
    return np.stack([np.asarray(palette.color_image(each).convert("RGB")) for each in labels])


def _tiled(rows: list[Pixels]) -> Image.Image:
    sheet = Image.new("RGB", (len(rows[0]) * TILE, len(rows) * TILE))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            tile = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (x * TILE, y * TILE))
    return sheet


if __name__ == "__main__":
    main()
