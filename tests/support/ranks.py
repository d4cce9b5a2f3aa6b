"""Train the tiny pack's proxy segmenter: `python -m tests.support.ranks FOLDER DEVICES ACCUMULATE STEPS`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.support.tiny_pack import tiny_config
from training.runs import RunOptions
from training.stages import train_proxies
from training.team import launch


def main() -> None:
    """As the module says; weights go to FOLDER/pack, the run to FOLDER/runs."""
    folder = Path(sys.argv[1])
    devices, accumulate, steps = map(int, sys.argv[2:])
    team = launch("cpu", devices)
    torch.set_num_threads(1)
    config = tiny_config()
    segmenter = config.proxies.segmenter.model_copy(update={"steps": steps})
    config = config.model_copy(update={"proxies": config.proxies.model_copy(update={"segmenter": segmenter})})
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
    train_proxies(config, folder / "pack", options)


if __name__ == "__main__":
    main()
