"""Labelled samples: seeds of the generator with the label maps an independent labeller gives their images.

Only seeds and label maps are stored; images and features come back from the seeds. The labeller runs as a
program in an environment of its own (`make labels-env` makes that of the face labeller).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config.palette import IGNORED, Palette
from training.config.sections import PackSection
from training.data.parts import PackedLabels, held, read_parts
from training.data.samples import latents_of
from training.data.seeds import DataSection
from training.generators.base import Generator
from training.generators.sections import LatentSection

DATA = Path("data")
LABELLER_PYTHON = Path(".venv/labels/bin/python")
LABELLER_PYTHON_VARIABLE = "MASKWEAVE_LABELLER_PYTHON"


class SampledPack(Protocol):
    """Of a pack's configuration: what its samples depend on."""

    @property
    def pack(self) -> PackSection:
        """Its name and generator."""

    @property
    def palette(self) -> Palette:
        """Its classes."""

    @property
    def latent(self) -> LatentSection:
        """What its latents are drawn from."""

    @property
    def data(self) -> DataSection:
        """Its splits."""


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Samples in which the labeller found something.

    Attributes:
        seeds: int64 `[N]`.
        latents: float32 `[N, latent_dim]`.
        labels: uint8 `[N, H, W]`, to be indexed along the first; IGNORED where there is no class.
    """

    seeds: NDArray[np.int64]
    latents: Tensor
    labels: Tensor | PackedLabels

    def __len__(self) -> int:
        return len(self.seeds)


def first_samples(samples: LabelledSamples, count: int = 16) -> Tensor:
    """Indices of the first samples, for a sheet: all where there are fewer."""
    return torch.arange(min(count, len(samples)))


class LabellerError(RuntimeError):
    """The labeller could not be run; the message says why and what to do."""


def run_labeller(
    module: str | None, images: NDArray[np.uint8], python: Path | None = None, classes: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Label images with a labeller program.

    Args:
        module: the program, as for `python -m`; None where the pack has none.
        images: images, uint8 `[N, H, W, 3]`.
        python: interpreter of the labeller's environment; by default that of `make labels-env`, or of the
            environment variable MASKWEAVE_LABELLER_PYTHON.
        classes: number of classes that it may give, beside IGNORED; None: any.

    Returns:
        Label maps, uint8 `[N, H, W]`, and whether anything was found, bool `[N]`.

    Raises:
        LabellerError: if there is no program, its environment is missing, it fails, or what it writes is not
            as agreed.
    """
    if module is None:
        raise LabellerError("the pack's configuration names no labeller, data.labeller")
    python = python or Path(os.environ.get(LABELLER_PYTHON_VARIABLE, LABELLER_PYTHON))
    if not python.exists():
        raise LabellerError(
            f"no labeller at {python}: run `make labels-env`, or set {LABELLER_PYTHON_VARIABLE} to the "
            f"Python of an environment with what {module} needs"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "images.npy", Path(folder) / "labels.npz"
        np.save(source, images)
        root = Path(__file__).parents[2]
        command = [str(python.absolute()), "-m", module, str(source), str(target)]
        finished = subprocess.run(command, cwd=root, check=False)
        if finished.returncode:
            raise LabellerError(
                f"the labeller {module} ended with exit status {finished.returncode}; see its output above"
            )
        return _agreed(module, target, images.shape[:3], classes)


def _agreed(
    module: str, written: Path, shape: tuple[int, ...], classes: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What a labeller has written, if it is as agreed (docs/stylegan2.md)."""
    try:
        with np.load(written) as labelled:
            labels, detected = labelled["labels"], labelled["detected"]
    except (OSError, KeyError, ValueError) as error:
        raise LabellerError(
            f"the labeller {module} has written no 'labels' and 'detected' that can be read ({error})"
        ) from None
    for name, found, dtype, wanted in (
        ("labels", labels, np.uint8, shape),
        ("detected", detected, np.bool_, shape[:1]),
    ):
        if found.dtype != dtype or found.shape != wanted:
            raise LabellerError(
                f"the labeller {module} has written {name!r} of {found.dtype} {list(found.shape)}; "
                f"allowed: {np.dtype(dtype)} {list(wanted)}"
            )
    unknown = labels[labels != IGNORED]
    if classes is not None and unknown.size and unknown.max() >= classes:
        raise LabellerError(
            f"the labeller {module} has written the class {unknown.max()}; allowed: 0 to {classes - 1}, "
            f"and {IGNORED} for none"
        )
    return labels, detected


def load_split(config: SampledPack, generator: Generator, split: str) -> LabelledSamples:
    """Read a split; samples in which the labeller found nothing are left out.

    Raises:
        FileNotFoundError: if the data has not been made, with the command that makes it.
        ValueError: if it was made for other seeds than the configuration's, is not complete, or if the
            labeller found nothing at all.
    """
    folder, command = split_path(config, split), f"`maskweave data {config.pack.name}`"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: run {command}")
    wanted = config.data.seeds(split)
    seeds: list[int] = []
    kept: list[int] = []
    packed: list[bytes] = []
    sides = set()
    for part in read_parts(folder):
        seeds += part.seeds.tolist()
        kept += part.seeds[part.detected].tolist()
        packed += [one for one, found in zip(part.packed, part.detected, strict=True) if found]
        sides.add((part.side, part.made_by))
    if seeds == list(wanted[: len(seeds)]) and len(seeds) < len(wanted):
        raise ValueError(f"{folder} has {len(seeds)} of {len(wanted)} samples: run {command} again to go on")
    if seeds != list(wanted) or len(sides) != 1:
        raise ValueError(
            f"{folder} was not made for seeds {wanted.start} to {wanted.stop - 1}: run {command} again"
        )
    if not kept:
        raise ValueError(f"{folder}: the labeller found nothing in {len(seeds)} images")
    side, _ = sides.pop()
    latents = latents_of(kept, generator.latent_dim, config.latent.scale)
    return LabelledSamples(np.array(kept, np.int64), latents, held(packed, side))


def split_path(config: SampledPack, split: str) -> Path:
    """Where a split is stored."""
    return DATA / config.pack.name / split
