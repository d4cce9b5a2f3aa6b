"""What every training loop shares: steps, progress, metrics, sheets, checkpoints and resuming.

A loop is a `Trainer`: it owns its networks and optimisers and knows how to do one step. `train` calls it, and
writes into the run's folder `metrics.jsonl` (one object a line), `sheet-<step>.png` and `checkpoint.pt`. Step
s draws all its randomness from generators seeded by (seed, s, shard), so a resumed run goes through the same
steps as one never stopped, and so does one on another number of ranks if there are as many shards.
"""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from training.team import Team, alone
from training.updates import Metrics, Precision, Shard, Step, shard_generator, work

Tensors = tuple[Tensor, ...] | list[Tensor]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; what it trains is the pack's configuration.

    Attributes:
        folder: where metrics, sheets and the checkpoint go.
        device: "cpu" or "cuda", or the one of this rank.
        seed: of initialisation and of every step.
        resume: go on from the folder's checkpoint if there is one.
        log_every: steps between lines of metrics (means over those steps).
        checkpoint_every: steps between checkpoints.
        sheet_every: steps between contact sheets.
        show_progress: draw a progress bar.
        accumulate: micro-batches that each rank divides its part of a batch into.
        precision: what networks run in, see `mixed_precision`.
        team: the processes that carry the run out together.
    """

    folder: Path
    device: str = "cpu"
    seed: int = 0
    resume: bool = True
    log_every: int = 50
    checkpoint_every: int = 250
    sheet_every: int = 500
    show_progress: bool = True
    accumulate: int = 1
    precision: Precision = "auto"
    team: Team = field(default_factory=alone)

    @property
    def shards(self) -> int:
        """Parts that a step's batch is divided into."""
        return self.team.size * self.accumulate


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Its state: tensors and plain values only."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take up such a state."""


class Trainer(Protocol):
    """One training loop's state and step."""

    name: str
    steps: int
    parts: dict[str, Stateful]
    """Everything a checkpoint must hold to go on."""

    def step(self, step: int, shard: Shard) -> Step:
        """Work on one shard of a step's batch; every draw comes from the shard's generator."""

    def sheet(self) -> Image.Image:
        """A contact sheet of the present state."""


def train(trainer: Trainer, options: RunOptions) -> list[Metrics]:
    """Run a trainer to its last step, together with the other ranks; the leader alone writes files.

    Returns:
        The metrics lines written by this call.

    Raises:
        ValueError: if the checkpoint to go on from is another trainer's or of another shape, or a metric is
            no longer a finite number; the last checkpoint stays as it was.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = options.folder / "checkpoint.pt"
    team = options.team
    first = _resume(trainer, checkpoint, team) if options.resume else 0
    networks = [part for part in trainer.parts.values() if isinstance(part, nn.Module)]
    if team.size > 1:
        _align(networks, team)
        synchronise(networks, team)
    lines: list[Metrics] = []
    sums: Metrics = {}
    since, began = 0, time.perf_counter()
    bar = tqdm(
        range(first, trainer.steps),
        initial=first,
        total=trainer.steps,
        desc=trainer.name,
        unit="step",
        disable=not (options.show_progress and team.leads),
    )
    with _open_log(options.folder / "metrics.jsonl", first) if team.leads else io.StringIO() as log:
        for step in bar:
            metrics = work([trainer.step(step, shard) for shard in _shards(step, options)], networks, team)
            since += 1
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise ValueError(
                        f"{trainer.name}, step {step + 1}: {name} is {value}; training has diverged"
                    )
                sums[name] = sums.get(name, 0.0) + value
            done = step + 1
            if done % options.log_every == 0 or done == trainer.steps:
                rate = since / (time.perf_counter() - began)
                line: Metrics = {"step": done, "steps_per_second": round(rate, 3)}
                line |= {name: round(total / since, 5) for name, total in sums.items()}
                log.write(json.dumps(line) + "\n")
                log.flush()
                lines.append(line)
                bar.set_postfix({name: f"{value:.3g}" for name, value in list(line.items())[2:6]})
                sums, since, began = {}, 0, time.perf_counter()
            if team.leads and (done % options.checkpoint_every == 0 or done == trainer.steps):
                _save(trainer, done, checkpoint)
            if team.leads and (done % options.sheet_every == 0 or done == trainer.steps):
                trainer.sheet().save(options.folder / f"sheet-{done:06d}.png")
    team.wait()  # for the last checkpoint, which the next run may begin with
    return lines


def _shards(step: int, options: RunOptions) -> list[Shard]:
    """This rank's shards of a step."""
    first = options.team.rank * options.accumulate
    return [
        Shard(shard_generator(options.seed, step, shard), options.precision)
        for shard in range(first, first + options.accumulate)
    ]


def _resume(trainer: Trainer, checkpoint: Path, team: Team) -> int:
    """The leader reads, so that no rank can begin at another step."""
    known = team.leads and checkpoint.exists()
    saved = team.from_leader(torch.load(checkpoint, map_location="cpu", weights_only=True) if known else None)
    if saved is None:
        return 0
    if saved["name"] != trainer.name:
        raise ValueError(f"{checkpoint}: made by {saved['name']!r}, not by {trainer.name!r}")
    for name, part in trainer.parts.items():
        try:
            part.load_state_dict(saved["state"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(
                f"{checkpoint}: {name} does not fit the configuration; start anew with --fresh ({reason})"
            ) from None
    return int(saved["step"])


def _align(networks: list[nn.Module], team: Team) -> None:
    """Let every rank begin with the leader's weights, however it came by its own."""
    for network in networks:
        own = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        network.load_state_dict(team.from_leader(own))


def synchronise(networks: list[nn.Module], team: Team) -> None:
    """Let batch norms of several GPUs normalise by the batch of all, as PyTorch's `SyncBatchNorm` does.

    It has no CPU form: there, as in micro-batches, each shard is normalised by itself. Weights and statistics
    keep their names. Moving averages are left alone, as they are only ever evaluated.
    """
    if torch.device(team.device).type != "cuda":
        return
    for network in networks:
        if not isinstance(network, AveragedModel):
            nn.SyncBatchNorm.convert_sync_batchnorm(network)


def _open_log(path: Path, first: int) -> TextIO:
    """Open the metrics for appending, without lines of steps that will be done again."""
    kept = path.read_text().splitlines(keepends=True) if first and path.exists() else []
    path.write_text("".join(line for line in kept if json.loads(line)["step"] <= first))
    return path.open("a")


def _save(trainer: Trainer, step: int, checkpoint: Path) -> None:
    """Write whole or not at all: a run killed while saving keeps its last checkpoint."""
    partial = checkpoint.with_suffix(".partial")
    state = {name: part.state_dict() for name, part in trainer.parts.items()}
    torch.save({"name": trainer.name, "step": step, "state": state}, partial)
    partial.replace(checkpoint)


def mixed_precision(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Autocast to bfloat16: "bf16" always, "32" never.

    "auto": where there are instructions for it; elsewhere it takes ten times as long.
    """
    capable = device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    enabled = capable if precision == "auto" else precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def place(network: Network, device: torch.device) -> Network:
    """Move a network to where it trains, in the memory layout convolutions are fastest in."""
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    return network


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and buffers, over a shorter window in the first steps."""

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)  # counters of batch norms
            return
        done = int(count)
        kept = min(decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    # All tensors at once: one after the other, a GPU would wait for the CPU at each.
    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.requires_grad_(False)
    return average.eval()


def warm_cosine(step: int, steps: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear warm-up over at most 100 steps, then half a cosine to `floor`."""
    warm_up = min(100, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(progress * math.pi))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
