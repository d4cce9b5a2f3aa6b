"""What the commands share: options, and which errors are the user's."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from safetensors import SafetensorError

from training.config.pack_argument import PackName
from training.data.labelled import LabellerError

RUNS = Path("runs")
EXPECTED = (LabellerError, OSError, SafetensorError, ValueError)
"""Files that are missing, may not be read or written, or do not fit on the disk are the user's, too."""

pack_name = PackName()
device_choice = click.Choice(["auto", "cpu", "cuda"])
positive = click.IntRange(min=1)


def examples(*lines: str) -> str:
    """Commands as an epilog of a help text, a line each."""
    return "\b\nExamples:\n" + "\n".join(f"  maskweave {line}" for line in lines)


def chosen_device(asked: str) -> str:
    """The device that --device asks for; "auto" is CUDA where there is one."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("PyTorch finds no CUDA device", param_hint="'--device'")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked
