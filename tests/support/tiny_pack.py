"""A pack that trains in seconds: the real generator, narrow networks, few steps, labels by brightness."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from training.data.splits import make_split
from training.groupdnet.config import StylesConfig, load_styles_config
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import pretrained_generator

TINY: dict[str, Any] = {
    "data": {
        "train_samples": 96,
        "heldout_samples": 24,
        "labeller": "tests.support.brightness_labeller",
        "validation": {"samples": 24, "first_seed": 2_000_000},
        "judge": {"samples": 64, "first_seed": 3_000_000},
    },
    "judge": {"width": 16, "steps": 30, "batch": 8},
    "proxies": {
        "clusters": 6,
        "components": 8,
        "samples": 64,
        "cells": 8000,
        "segmenter": {"widths": (16, 24, 32), "steps": 40, "batch": 8},
    },
    "rearranger": {
        "width": 16,
        "hidden": {8: 32, 16: 32, 32: 16},
        "steps": 30,
        "batch": 4,
        "self_fraction": 0.5,
    },
    "mapper": {
        "widths": (16, 24, 32),
        "label_segmenter": {"steps": 30, "batch": 8},
        "supervised": {"steps": 30, "batch": 8},
        "cycle": {"steps": 12, "batch": 4},
    },
    "sketch": {"widths": (16, 24, 32), "steps": 24, "batch": 8},
    "scribble": {"widths": (16, 24, 32), "steps": 16, "batch": 8},
    "inversion": {"widths": (16, 24, 32), "depth": 1, "steps": 30, "batch": 4, "kept_samples": 2},
    "students": {  # what is trained is looked at here, how well on the shipped pack
        "reader": {"width": 16, "steps": 4, "batch": 8, "batches": 2},
        "mapper": {"energy": 0.5, "steps": 4, "batch": 8, "batches": 2},
        "rearranger": {"energy": 0.5, "steps": 4, "batch": 4, "batches": 2},
        "cycle": {"steps": 4, "batch": 4},
    },
    "few_shot": {
        "width": 16,
        "steps": 60,
        "batch": 4,
        "candidates": 20,
        "samples": 24,
        "mapper": {"steps": 16, "batch": 8},
    },
}

TINY_STYLES: dict[str, Any] = {
    "network": {
        "code": 4,
        "start": 32,
        "blocks": tuple({"width": 16, "groups": groups, "hidden": 8} for groups in (8, 4, 2, 1)),
        "encoder": {"side": 16, "widths": (4, 8)},
    },
    "training": {"steps": 12, "batch": 4, "discriminator": {"width": 8, "layers": 2}},
}


def tiny_config() -> PackConfig:
    """The configuration of faces64 with everything made small."""
    return PackConfig.model_validate(_merged(load_config("faces64").model_dump(), TINY))


def tiny_data_config() -> PackConfig:
    """The configuration of faces64 with few samples: its shipped networks fit."""
    return PackConfig.model_validate(_merged(load_config("faces64").model_dump(), {"data": TINY["data"]}))


def tiny_styles_config() -> StylesConfig:
    """The configuration of faces64_styles with everything made small."""
    return StylesConfig.model_validate(
        _merged(load_styles_config("faces64_styles").model_dump(), TINY_STYLES)
    )


def make_labels(config: PackConfig) -> None:
    """Both splits, through the real command's code, by a labeller that needs no environment of its own."""
    for split in config.data.splits:
        make_split(config, pretrained_generator(config), split, Path(sys.executable))


def checkpoint_step(folder: Path, run: str) -> int:
    """How far a run has come."""
    return int(torch.load(folder / run / "checkpoint.pt", weights_only=True)["step"])


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "hidden"
        merged[key] = _merged(base[key], value) if nested else value
    return merged
