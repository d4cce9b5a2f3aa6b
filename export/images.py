"""Compares images, not tensors: what a precision does to faces, against PyTorch in FP32.

PSNR and SSIM over fixed seeds and the sample label maps. One cell of a proxy mask that falls the other way
changes a small part of its image, so the worst image has a gate of its own, lower than the mean's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from export.exported import ExportedPack, Images, InPyTorch, Models, ServedCondition
from export.runners import Runner
from training.config.palette import Palette
from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.samples import latents_of

LABEL_MAPS = Path(__file__).parents[1] / "client" / "examples" / "label_maps"
SEEDS = tuple(range(8))
IDENTICAL_PSNR = 100.0
"""In decibels, where there is no difference at all; 8-bit images that differ stay far below."""
SHEET_IMAGES = 8
DIFFERENCE_GAIN = 8


@dataclass(frozen=True, slots=True)
class Gate:
    """The lowest a precision may come to; PSNR in decibels."""

    mean_psnr: float
    worst_psnr: float
    mean_ssim: float
    worst_ssim: float


# What was measured on a CPU is in docs/engines.md. Gates lie some decibels below it, and above a wrong graph.
GATES: Mapping[str, Gate] = MappingProxyType(
    {
        # Another order of sums moves a colour by one level here and there: 98 dB, of which 86 the worst.
        "fp32": Gate(mean_psnr=60, worst_psnr=45, mean_ssim=0.9995, worst_ssim=0.995),
        # Ten bits of mantissa and a few flipped cells: 48 dB and 38 on a CPU, whose faces nobody tells apart.
        # GPUs also round inside sums.
        "fp16": Gate(mean_psnr=44, worst_psnr=32, mean_ssim=0.995, worst_ssim=0.98),
        # Seven bits: 42 dB and 33; backgrounds differ in places, faces are the same.
        "bf16": Gate(mean_psnr=38, worst_psnr=28, mean_ssim=0.985, worst_ssim=0.96),
        # Eight bits with a scale for each layer: as bf16.
        "int8": Gate(mean_psnr=38, worst_psnr=28, mean_ssim=0.985, worst_ssim=0.96),
    }
)


@dataclass(frozen=True, slots=True)
class Samples:
    """What images are made of: every seed with every label map.

    Attributes:
        labels: uint8 `[N, H, W]`.
        latents: float32 `[N, latent_size]`.
    """

    labels: NDArray[np.uint8]
    latents: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How close a model's images are to PyTorch's; PSNR in decibels.

    Attributes:
        model: its name in the repository.
        precision: what its graphs compute in.
        engine: what ran it.
        psnr: of every image.
        ssim: of every image.
    """

    model: str
    precision: str
    engine: str
    psnr: NDArray[np.float64]
    ssim: NDArray[np.float64]

    @property
    def gate(self) -> Gate:
        """What it must come up to; of several precisions, what the lowest allows."""
        return min((GATES[name] for name in self.precision.split(" and ")), key=lambda gate: gate.mean_psnr)

    @property
    def passed(self) -> bool:
        """Whether it comes up to it; a figure that is not a number does not."""
        gate = self.gate
        return bool(
            self.psnr.mean() >= gate.mean_psnr
            and self.psnr.min() >= gate.worst_psnr
            and self.ssim.mean() >= gate.mean_ssim
            and self.ssim.min() >= gate.worst_ssim
        )


def load_samples(pack: ExportedPack, folder: Path = LABEL_MAPS, seeds: tuple[int, ...] = SEEDS) -> Samples:
    """Every seed with every label map of a folder.

    Args:
        pack: whose label maps they are.
        folder: palette PNGs whose values are class ids.
        seeds: as many as `SEEDS`.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if one is no palette PNG or holds an id that the pack has not.
    """
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(f"{folder}: no label map (*.png)")
    size = pack.image_width or pack.image_side, pack.image_side
    maps = np.stack([_label_map(file, size, len(pack.palette)) for file in files])
    latents = latents_of(seeds, pack.latent_size, pack.latent_scale).numpy()
    return Samples(np.repeat(maps, len(seeds), axis=0), np.tile(latents, (len(maps), 1)))


def reference_images(pack: ExportedPack, condition: ServedCondition, samples: Samples) -> Images:
    """PyTorch's images in FP32, as `images_of` orders them."""
    return images_of(condition, InPyTorch(pack, condition), samples)


def images_of(condition: ServedCondition, models: Models, samples: Samples) -> Images:
    """Models' images, uint8 `[N, H, W, 3]`: for each label map all its seeds, once for each way to ask."""
    parts = (slice(start, start + len(SEEDS)) for start in range(0, len(samples.labels), len(SEEDS)))
    walks = [condition.walk(models, samples.labels[part], samples.latents[part]) for part in parts]
    return np.concatenate(walks)


def compare(model: str, runner: Runner, images: Images, reference: Images) -> Verdict:
    """A model's images against the reference's, both uint8 `[N, H, W, 3]`."""
    found, wanted = (torch.from_numpy(one).permute(0, 3, 1, 2).float() for one in (images, reference))
    psnr = peak_signal_noise_ratio(found, wanted, data_range=255.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(found, wanted, data_range=255.0, reduction="none")
    assert isinstance(ssim, torch.Tensor)
    capped = psnr.double().nan_to_num(nan=float("nan"), posinf=IDENTICAL_PSNR)
    return Verdict(model, runner.precision, runner.engine, capped.numpy(), ssim.double().numpy())


def as_table(verdicts: list[Verdict]) -> str:
    """Markdown: every figure with its gate."""
    lines = [
        "| model | computes in | run by | PSNR mean | PSNR worst | SSIM mean | SSIM worst | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        gate, psnr, ssim = verdict.gate, verdict.psnr, verdict.ssim
        cells = (
            verdict.model,
            verdict.precision,
            verdict.engine,
            f"{psnr.mean():.1f} dB (at least {gate.mean_psnr:g})",
            f"{psnr.min():.1f} dB ({gate.worst_psnr:g})",
            f"{ssim.mean():.4f} ({gate.mean_ssim:g})",
            f"{ssim.min():.4f} ({gate.worst_ssim:g})",
            "passed" if verdict.passed else "FAILED",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def worst_sheet(
    verdict: Verdict, samples: Samples, images: Images, reference: Images, palette: Palette
) -> Image.Image:
    """The images with the lowest PSNR: label maps, reference, result, and their difference made visible."""
    worst = verdict.psnr.argsort()[:SHEET_IMAGES]
    difference = np.abs(images[worst].astype(int) - reference[worst].astype(int)) * DIFFERENCE_GAIN
    maps = samples.labels[:: len(SEEDS)].repeat(len(images) * len(SEEDS) // len(samples.labels), axis=0)
    painted = paint_labels(maps[worst], palette)
    shown = difference.clip(0, 255).astype(np.uint8)
    return contact_sheet([painted, reference[worst], images[worst], shown], least=128)


def _label_map(file: Path, size: tuple[int, int], classes: int) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        mode = image.mode
        ids: NDArray[np.uint8] = np.asarray(image.resize(size, Image.Resampling.NEAREST))
    if mode not in ("P", "L"):
        raise ValueError(f"{file}: got a PNG of mode {mode}, allowed are P and L: one class id per pixel")
    if ids.max() >= classes:
        raise ValueError(f"{file}: holds class id {ids.max()}, allowed are 0 to {classes - 1}")
    return ids
