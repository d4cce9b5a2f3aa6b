"""A pack that trains in seconds: the real generator, narrow networks, few steps, labels by brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.config import PackConfig, load_config
from training.data.labelled import split_path
from training.data.samples import latents_of, pictures_of
from training.generators.base import Generator

TINY: dict[str, Any] = {
    "data": {"train_samples": 96, "heldout_samples": 24},
    "proxies": {
        "clusters": 6,
        "components": 8,
        "samples": 64,
        "cells": 8000,
        "segmenter": {"widths": (16, 24, 32), "steps": 60, "batch": 16},
    },
    "rearranger": {
        "width": 16,
        "hidden": {8: 32, 16: 32, 32: 16},
        "steps": 30,
        "batch": 8,
    },
    "mapper": {
        "widths": (16, 24, 32),
        "label_segmenter": {"steps": 30, "batch": 16},
        "supervised": {"steps": 40, "batch": 16},
        "cycle": {"steps": 12, "batch": 8},
    },
}


def tiny_config() -> PackConfig:
    """The configuration of faces64 with everything made small."""
    return PackConfig.model_validate(_merged(load_config("faces64").model_dump(), TINY))


def write_synthetic_labels(config: PackConfig, generator: Generator) -> None:
    """Both splits, labelled by brightness: no face labeller needed, and there is something to learn."""
    classes = len(config.palette)
    for split, first, count in (
        ("train", config.data.train_first_seed, config.data.train_samples),
        ("heldout", config.data.heldout_first_seed, config.data.heldout_samples),
    ):
        seeds = np.arange(first, first + count)
        pictures = pictures_of(
            generator, latents_of(seeds.tolist(), generator.latent_dim, config.latent.scale)
        )
        labels = (pictures.mean(-1) * classes / 256).astype(np.uint8)
        detected = np.ones(count, bool)
        detected[0] = False
        path = split_path(config, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, seeds=seeds, labels=labels, detected=detected)


def checkpoint_step(folder: Path, run: str) -> int:
    """How far a run has come."""
    return int(torch.load(folder / run / "checkpoint.pt", weights_only=True)["step"])


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "hidden"
        merged[key] = _merged(base[key], value) if nested else value
    return merged
