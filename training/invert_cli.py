"""Verb `invert` of the command `maskweave`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from training.cli import EXPECTED, pack_choice
from training.config import load_config, pack_folder, pack_method
from training.data.files import square_label_map, square_picture
from training.data.samples import from_uint8, to_uint8
from training.edits import edit
from training.generators.base import FeaturePyramid
from training.groupdnet.pack_config import METHOD
from training.pipeline import SynthesisPipeline, load_pipeline
from training.reconstruction import decibels, through_tail
from training.refinement import refine

STEPS = 50
FIGURES = "inversion.json"

a_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@dataclass(frozen=True, slots=True)
class Inverted:
    """What became of one picture.

    Attributes:
        picture: its file.
        before: PSNR in decibels of what comes back from the inverter's features.
        after: the same of the refined ones.
        seconds: that inverter and refinement took.
    """

    picture: str
    before: float
    after: float
    seconds: float


@click.command()
@click.argument("pack", type=pack_choice)
@click.argument("pictures", type=a_file, nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into."
)
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=STEPS,
    show_default=True,
    help="Of the optimisation; 0 leaves what the inverter reads.",
)
@click.option("--target-label-map", type=a_file, help="Edit to this shape; ids or the palette's colours.")
@click.option(
    "--source-label-map", type=a_file, help="What the picture shows now: where both agree it stays as it is."
)
def invert(
    *,
    pack: str,
    pictures: tuple[Path, ...],
    output: Path,
    steps: int,
    target_label_map: Path | None,
    source_label_map: Path | None,
) -> None:
    """Read features off every PICTURE with a PACK's inverter, refined so that it comes back better.

    Pictures are square PNG or JPEG of any size, framed as the pack's own. Of each, NAME_inverted.png is what
    comes back, NAME.safetensors has the features by resolution, and NAME_edited.png is the edit, if one is
    asked for; inversion.json has the figures.
    """
    try:
        _check(pictures, target_label_map, source_label_map)
        if pack_method(pack) == METHOD:
            raise ValueError(f"pack {pack!r}: has no inverter, its method is {METHOD}")
        config = load_config(pack)
        if config.stylegan2 is not None:
            raise ValueError(
                f"pack {pack!r}: its generator, StyleGAN2, needs layer styles, which pictures do not give"
            )
        pipeline = load_pipeline(config, pack_folder(pack))
        if pipeline.inverter is None:
            raise ValueError(f"pack {pack!r}: has no inverter; train it with `maskweave train inversion`")
        side = pipeline.generator.image_size
        read = [from_uint8(square_picture(path, side)[None]) for path in pictures]
        target, source = (
            None if path is None else square_label_map(path, side, config.palette)
            for path in (target_label_map, source_label_map)
        )
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    output.mkdir(parents=True, exist_ok=True)
    strength = config.mapper.style_strength.default
    results = []
    for path, picture in zip(pictures, read, strict=True):
        result, pyramid = _inverted(pipeline, path, picture, steps)
        _save(pipeline, pyramid, output / path.stem)
        if target is not None:
            made = edit(pipeline, picture, pyramid, target, source, strength)
            Image.fromarray(made).save(output / f"{path.stem}_edited.png")
        click.echo(f"{path}: {result.before:.1f} dB, refined {result.after:.1f} dB, {result.seconds:.2f} s")
        results.append(result)
    (output / FIGURES).write_text(json.dumps(_figures(results, steps), indent=2) + "\n")
    before, after = (np.mean([getattr(each, name) for each in results]) for name in ("before", "after"))
    click.echo(f"mean of {len(results)}: {before:.1f} dB, refined {after:.1f} dB; in {output}")


def _check(pictures: Sequence[Path], target: Path | None, source: Path | None) -> None:
    stems: dict[str, Path] = {}
    for path in pictures:
        if path.stem in stems:
            raise ValueError(f"{path}: {stems[path.stem]} has the same name; their results would be one file")
        stems[path.stem] = path
    if source is not None and target is None:
        raise click.UsageError("--source-label-map needs --target-label-map")
    if source is not None and len(pictures) > 1:
        raise click.UsageError(f"--source-label-map is of one picture; got {len(pictures)} pictures")


def _inverted(
    pipeline: SynthesisPipeline, path: Path, picture: Tensor, steps: int
) -> tuple[Inverted, FeaturePyramid]:
    began = time.perf_counter()
    pyramid = refine(pipeline, picture, steps)
    seconds = time.perf_counter() - began
    before, after = (
        float(decibels(through_tail(pipeline, features), picture))
        for features in (refine(pipeline, picture, 0), pyramid)
    )
    return Inverted(str(path), before, after, seconds), pyramid


def _save(pipeline: SynthesisPipeline, pyramid: FeaturePyramid, stem: Path) -> None:
    """What comes back, and the features, as files that begin with `stem`."""
    came_back = to_uint8(through_tail(pipeline, pyramid))[0]
    Image.fromarray(came_back).save(stem.with_name(f"{stem.name}_inverted.png"))
    save_file(
        {str(r): features.contiguous() for r, features in pyramid.items()},
        stem.with_name(f"{stem.name}.safetensors"),
    )


def _figures(results: Sequence[Inverted], steps: int) -> dict[str, object]:
    return {"steps": steps, "pictures": [asdict(result) for result in results]}
