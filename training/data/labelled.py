"""Labelled samples: seeds of the generator with the label maps an independent labeller gives their pictures.

Only seeds and label maps are stored; pictures and features come back from the seeds. The labeller runs as a
program in an environment of its own (`make labels-env`).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import PackConfig
from training.data.samples import latents_of, pictures_of
from training.generators.base import Generator

DATA = Path("data")
LABELLER_PYTHON = Path(".venv/labels/bin/python")
LABELLER_PYTHON_VARIABLE = "MASKWEAVE_LABELLER_PYTHON"
SPLITS = ("train", "heldout")


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Samples whose face was found.

    Attributes:
        seeds: int64 `[N]`.
        latents: float32 `[N, latent_dim]`.
        labels: uint8 `[N, H, W]`.
    """

    seeds: NDArray[np.int64]
    latents: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.seeds)


class LabellerError(RuntimeError):
    """The labeller could not be run; the message says why and what to do."""


def run_labeller(
    module: str, pictures: NDArray[np.uint8], python: Path | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Label pictures with a labeller program.

    Args:
        module: the program, as for `python -m`.
        pictures: uint8 `[N, H, W, 3]`.
        python: interpreter of the labeller's environment; by default that of `make labels-env`, or of the
            environment variable MASKWEAVE_LABELLER_PYTHON.

    Returns:
        Label maps, uint8 `[N, H, W]`, and whether a face was found, bool `[N]`.

    Raises:
        LabellerError: if the environment is missing or the program fails.
    """
    python = python or Path(os.environ.get(LABELLER_PYTHON_VARIABLE, LABELLER_PYTHON))
    if not python.exists():
        raise LabellerError(
            f"no labeller at {python}: run `make labels-env`, or set {LABELLER_PYTHON_VARIABLE} to the "
            "Python of an environment with mediapipe"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "pictures.npy", Path(folder) / "labels.npz"
        np.save(source, pictures)
        root = Path(__file__).parents[2]
        command = [str(python.absolute()), "-m", module, str(source), str(target)]
        finished = subprocess.run(command, cwd=root, check=False)
        if finished.returncode:
            raise LabellerError(
                f"the labeller {module} ended with exit status {finished.returncode}; see its output above"
            )
        with np.load(target) as labelled:
            return labelled["labels"], labelled["detected"]


def make_split(config: PackConfig, generator: Generator, split: str, python: Path | None = None) -> Path:
    """Draw and label one split's samples; returns the file written.

    Raises:
        LabellerError: as `run_labeller`.
    """
    seeds = np.array(config.data.seeds(split))
    pictures = pictures_of(generator, latents_of(seeds.tolist(), generator.latent_dim, config.latent.scale))
    labels, detected = run_labeller(config.data.labeller, pictures, python)
    return keep_split(split_path(config, split), seeds, labels, detected)


def keep_split(
    path: Path, seeds: NDArray[np.int64], labels: NDArray[np.uint8], detected: NDArray[np.bool_]
) -> Path:
    """Write a split's file, whole or not at all; returns it.

    Args:
        path: of `split_path`.
        seeds: `[N]`.
        labels: label maps, `[N, H, W]`.
        detected: `[N]`; samples without a face are left out when the split is read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, seeds=seeds, labels=labels, detected=detected)
    return partial.replace(path)


def load_split(config: PackConfig, generator: Generator, split: str) -> LabelledSamples:
    """Read a split; samples without a face are left out.

    Raises:
        FileNotFoundError: if the data has not been made, with the command that makes it.
        ValueError: if it was made for other seeds than the configuration's, or holds no face.
    """
    path = split_path(config, split)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `maskweave data {config.pack.name}`")
    wanted = config.data.seeds(split)
    with np.load(path) as stored:
        if not np.array_equal(stored["seeds"], wanted):
            raise ValueError(
                f"{path} was not made for seeds {wanted.start} to {wanted.stop - 1}: "
                f"run `maskweave data {config.pack.name}` again"
            )
        kept = stored["detected"]
        seeds, labels = stored["seeds"][kept], stored["labels"][kept]
    if not len(seeds):
        raise ValueError(f"{path}: the labeller found no face in {len(kept)} pictures")
    latents = latents_of(seeds.tolist(), generator.latent_dim, config.latent.scale)
    return LabelledSamples(seeds, latents, torch.from_numpy(labels))


def split_path(config: PackConfig, split: str) -> Path:
    """Where a split is stored."""
    return DATA / config.pack.name / f"{split}.npz"
