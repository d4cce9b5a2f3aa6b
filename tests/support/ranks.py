"""Train something tiny: `python -m tests.support.ranks FOLDER DEVICES ACCUMULATE STEPS [proxies|styles]`.

`proxies` is the tiny pack's proxy segmenter, `styles` a GroupDNet on folders of its own.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import torch

from tests.support.shapes import config_text, write_shapes
from tests.support.tiny_pack import tiny_config
from training.groupdnet import stage
from training.groupdnet.pack_config import StylesConfig
from training.runs import RunOptions
from training.stages import train_proxies
from training.team import launch


def main() -> None:
    """As the module says; weights go to FOLDER/pack, the run to FOLDER/runs."""
    folder = Path(sys.argv[1])
    devices, accumulate, steps = map(int, sys.argv[2:5])
    kind = sys.argv[5] if len(sys.argv) > 5 else "proxies"
    team = launch("cpu", devices)
    torch.set_num_threads(1)
    (folder / "pack").mkdir(parents=True, exist_ok=True)
    options = RunOptions(
        folder / "runs",
        device=team.device,
        log_every=2,
        checkpoint_every=2,
        show_progress=False,
        accumulate=accumulate,
        precision="32",
        team=team,
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
    if options.team.leads and not (folder / "images").exists():
        write_shapes(folder / "images", folder / "maps", 12)
    options.team.wait()
    values = tomllib.loads(config_text(folder / "images", folder / "maps"))
    values["training"] |= {"steps": steps, "batch": 8}
    stage.SETTLING_IMAGES = 8
    stage.train_styles(StylesConfig.model_validate(values), folder / "pack", options)


if __name__ == "__main__":
    main()
