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

from training.cli.options import EXPECTED, examples, pack_name
from training.config.packs import pack_folder, pack_method
from training.data.image_files import square_image, square_label_map
from training.data.samples import from_uint8, to_uint8
from training.generators.base import FeaturePyramid
from training.groupdnet.config import METHOD
from training.sis_ug.config import load_config
from training.sis_ug.inversion.edits import edit
from training.sis_ug.inversion.reconstruction import decibels, through_tail
from training.sis_ug.inversion.refinement import refine
from training.sis_ug.pipeline import SynthesisPipeline, load_pipeline

STEPS = 50
FIGURES = "inversion.json"

a_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@dataclass(frozen=True, slots=True)
class Inverted:
    """What became of one image.

    Attributes:
        image: its file.
        before: PSNR in decibels of what comes back from the inverter's features.
        after: the same of the refined ones.
        seconds: that inverter and refinement took.
    """

    image: str
    before: float
    after: float
    seconds: float


@click.command(
    epilog=examples(
        "invert faces64 face.png --output inverted",
        "invert faces64 face.png --output edited --source-label-map now.png --target-label-map wanted.png",
    )
)
@click.argument("pack", type=pack_name)
@click.argument("images", type=a_file, nargs=-1, required=True, metavar="IMAGE...")
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
    "--source-label-map", type=a_file, help="What the image shows now: where both agree it stays as it is."
)
def invert(
    *,
    pack: str,
    images: tuple[Path, ...],
    output: Path,
    steps: int,
    target_label_map: Path | None,
    source_label_map: Path | None,
) -> None:
    """Read features off every IMAGE with a PACK's inverter, refined so that it comes back better.

    Images are square PNG or JPEG of any size, framed as the pack's own. Of each, NAME_inverted.png is what
    comes back, NAME.safetensors has the features by resolution, and NAME_edited.png is the edit, if one is
    asked for; inversion.json has the figures.
    """
    try:
        _check(images, target_label_map, source_label_map)
        if pack_method(pack) == METHOD:
            raise ValueError(f"pack {pack!r}: has no inverter, its method is {METHOD}")
        config = load_config(pack)
        if config.stylegan2 is not None:
            raise ValueError(
                f"pack {pack!r}: its generator, StyleGAN2, needs layer styles, which images do not give"
            )
        pipeline = load_pipeline(config, pack_folder(pack))
        if pipeline.inverter is None:
            raise ValueError(f"pack {pack!r}: has no inverter; train it with `maskweave train inversion`")
        side = pipeline.generator.image_size
        read = [from_uint8(square_image(path, side)[None]) for path in images]
        target, source = (
            None if path is None else square_label_map(path, side, config.palette)
            for path in (target_label_map, source_label_map)
        )
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    output.mkdir(parents=True, exist_ok=True)
    strength = config.mapper.style_strength.default
    results = []
    for path, image in zip(images, read, strict=True):
        result, pyramid = _inverted(pipeline, path, image, steps)
        _save(pipeline, pyramid, output / path.stem)
        if target is not None:
            made = edit(pipeline, image, pyramid, target, source, strength)
            Image.fromarray(made).save(output / f"{path.stem}_edited.png")
        click.echo(f"{path}: {result.before:.1f} dB, refined {result.after:.1f} dB, {result.seconds:.2f} s")
        results.append(result)
    (output / FIGURES).write_text(json.dumps(_figures(results, steps), indent=2) + "\n")
    before, after = (np.mean([getattr(each, name) for each in results]) for name in ("before", "after"))
    click.echo(f"mean of {len(results)}: {before:.1f} dB, refined {after:.1f} dB; in {output}")


def _check(images: Sequence[Path], target: Path | None, source: Path | None) -> None:
    stems: dict[str, Path] = {}
    for path in images:
        if path.stem in stems:
            raise ValueError(f"{path}: {stems[path.stem]} has the same name; their results would be one file")
        stems[path.stem] = path
    if source is not None and target is None:
        raise click.UsageError("--source-label-map needs --target-label-map")
    if source is not None and len(images) > 1:
        raise click.UsageError(f"--source-label-map is of one image; got {len(images)} images")


def _inverted(
    pipeline: SynthesisPipeline, path: Path, image: Tensor, steps: int
) -> tuple[Inverted, FeaturePyramid]:
    began = time.perf_counter()
    pyramid = refine(pipeline, image, steps)
    seconds = time.perf_counter() - began
    before, after = (
        float(decibels(through_tail(pipeline, features), image))
        for features in (refine(pipeline, image, 0), pyramid)
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
    return {"steps": steps, "images": [asdict(result) for result in results]}
