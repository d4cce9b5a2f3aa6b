"""Measure one GPU in a quarter of an hour: `python -m export.gpu --output gpu.json`.

Everything in one go, for a GPU that is lent for a short time: PyTorch eager and compiled, ONNX Runtime's CUDA
provider with and without CUDA graphs, in FP32, FP16 and BF16, batches of 1 to 64, for faces64 and a StyleGAN2
of 256 px with random weights; beside them what the device itself does at best, in products and in bytes.
Without a GPU it runs on the CPU, so that tests keep it working. What fails is noted and left behind, and the
file is written after every figure: a machine that is taken back leaves what was measured.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from export.gpu.device import Device
from export.gpu.ways import WAYS, Measured, Stages, measure
from export.methods import load_pack
from export.random_stylegan2 import random_pack

BATCHES = (1, 16, 4, 64, 2, 8, 32)
"""The most telling first: the time may be over before the last."""


@dataclass
class Notes:
    """Figures as they come, always whole on disk.

    Attributes:
        output: Their file.
        budget_seconds: After which nothing more is begun.
    """

    output: Path
    budget_seconds: float
    _began: float = field(default_factory=time.monotonic)
    _found: dict[str, Any] = field(default_factory=dict)

    def keep(self, *place: str, value: Any) -> None:
        """Keep a figure in its place, and write all so far."""
        at = self._found
        for name in place[:-1]:
            at = at.setdefault(name, {})
        at[place[-1]] = value
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.output.write_text(json.dumps(self._found, indent=1) + "\n")

    def step(self, *place: str, figure: Callable[[], Any]) -> Any:
        """Measure a figure, unless the time is over; a failure is noted in its place.

        Returns:
            The figure; None where there is none.
        """
        seconds = time.monotonic() - self._began
        if seconds > self.budget_seconds:
            self.keep(*place, value={"left_out": "the time was over"})
            return None
        try:
            value = figure()
        except Exception as error:  # whatever it is: the next figure is to be had
            self.keep(*place, value={"failed": f"{type(error).__name__}: {str(error)[:400]}"})
            click.echo(f"{seconds:6.1f} s  {' / '.join(place)}: failed, {type(error).__name__}", err=True)
            return None
        self.keep(*place, value=value.as_json() if isinstance(value, Measured) else value)
        return value


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("gpu.json"))
@click.option(
    "--batch", "batches", type=click.IntRange(1), multiple=True, default=BATCHES, help="Repeatable."
)
@click.option(
    "--way", "ways", type=click.Choice(list(WAYS)), multiple=True, default=list(WAYS), help="Repeatable."
)
@click.option(
    "--stage", "wanted", multiple=True, help="Only stages whose name ends so; repeatable.  [default: all]"
)
@click.option("--seconds", type=click.FloatRange(0.001), default=0.3, help="Of each figure.")
@click.option(
    "--budget-seconds", type=click.FloatRange(1), default=720.0, help="After which nothing more is begun."
)
@click.option("--pack", default="faces64", help="The light pack.")
@click.option("--heavy-resolution", type=click.IntRange(64, 256), default=256, help="Of the StyleGAN2.")
@click.option("--heavy-widest", type=click.IntRange(8, 512), default=512, help="Its channels at most.")
def main(
    output: Path,
    batches: tuple[int, ...],
    ways: tuple[str, ...],
    wanted: tuple[str, ...],
    seconds: float,
    budget_seconds: float,
    pack: str,
    heavy_resolution: int,
    heavy_widest: int,
) -> None:
    """Measure what this machine's GPU, or without one its CPU, makes of the models; write one JSON file."""
    device = Device()
    notes = Notes(output, budget_seconds)
    notes.keep("date", value=datetime.now(UTC).isoformat(timespec="seconds"))
    notes.keep("device", value=device.facts())
    best: dict[str, float] = {}
    for precision in ("fp32", "fp16", "bf16"):
        figure = partial(device.product_rate, precision, seconds)
        rate = notes.step("best", f"{precision} operations per second", figure=figure)
        best[precision] = rate or float("nan")
    copied = notes.step("best", "bytes per second", figure=partial(device.copy_rate, seconds))
    bandwidth = copied or float("nan")

    with tempfile.TemporaryDirectory() as folder:
        heavy = random_pack(heavy_resolution, heavy_widest)
        packs = {each.name: Stages(each, Path(folder)) for each in (load_pack(pack), heavy)}
        for batch, (name, stages), way in itertools.product(batches, packs.items(), ways):
            for stage in (each for each in stages.stages if each.name.endswith(wanted or "")):
                taken = partial(measure, device, stages, stage, WAYS[way], batch, seconds, best, bandwidth)
                notes.step("models", name, stage.name, way, str(batch), figure=taken)
    click.echo(output)


if __name__ == "__main__":
    main()
