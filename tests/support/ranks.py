"""Train something tiny: `python -m tests.support.ranks FOLDER DEVICES ACCUMULATE STEPS [proxies|styles]`.

`proxies` is the tiny pack's proxy segmenter, `styles` a GroupDNet on folders of its own.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
import torch

from tests.support.shapes import config_text, write_shapes
from tests.support.tiny_pack import tiny_config
from training.groupdnet import stage
from training.groupdnet.config import StylesConfig
from training.runs.distributed import launch
from training.runs.options import RunOptions
from training.sis_ug.stages import train_proxies


def train(folder: Path, devices: int, accumulate: int, steps: int, kind: str = "proxies") -> None:
    """As the module says; weights go to FOLDER/pack, the run to FOLDER/runs."""
    distributed = launch("cpu", devices)
    torch.set_num_threads(1)
    (folder / "pack").mkdir(parents=True, exist_ok=True)
    options = RunOptions(
        folder / "runs",
        device=distributed.device,
        log_every=2,
        checkpoint_every=2,
        show_progress=False,
        accumulate=accumulate,
        precision="32",
        distributed=distributed,
    )
    if kind == "styles":
        styles(folder, steps, options)
        return
    config = tiny_config()
    segmenter = config.proxies.segmenter.model_copy(update={"steps": steps})
    config = config.model_copy(update={"proxies": config.proxies.model_copy(update={"segmenter": segmenter})})
    train_proxies(config, folder / "pack", options)


def styles(folder: Path, steps: int, options: RunOptions) -> None:
    """A GroupDNet on images and maps in FOLDER."""
    if options.distributed.is_main and not (folder / "images").exists():
        write_shapes(folder / "images", folder / "maps", 12)
    options.distributed.barrier()
    values = tomllib.loads(config_text(folder / "images", folder / "maps"))
    values["training"] |= {"steps": steps, "batch": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "RECALIBRATION_IMAGES", 8)
        stage.train_styles(StylesConfig.model_validate(values), folder / "pack", options)


if __name__ == "__main__":
    devices, accumulate, steps = map(int, sys.argv[2:5])
    train(Path(sys.argv[1]), devices, accumulate, steps, *sys.argv[5:])
