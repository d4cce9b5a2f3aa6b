"""What every training loop shares: steps, progress, metrics, sheets, checkpoints and resuming.

A loop is a `Trainer`: it owns its networks and optimisers and knows how to do one step. `train` calls it, and
writes into the run's folder `metrics.jsonl` (one object a line), `sheet-<step>.png` and `checkpoint.pt`. Step
s draws all its randomness from generators seeded by (seed, s, shard), so a resumed run goes through the same
steps as one never stopped, and so does one on another number of ranks if there are as many shards.
"""

from __future__ import annotations

from typing import Protocol

from PIL import Image
from torch import nn
from tqdm import tqdm

from training.runs.checkpoints import Stateful, load_checkpoint, save_checkpoint
from training.runs.distributed import broadcast_weights, convert_sync_batch_norms
from training.runs.metrics_log import MetricsLog
from training.runs.options import RunOptions
from training.runs.updates import Metrics, Shard, Step, run_step, shard_generator


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
    """Run a trainer to its last step, together with the other ranks; the main rank alone writes files.

    Returns:
        The metrics lines written by this call.

    Raises:
        ValueError: if the checkpoint to go on from is another trainer's or of another shape, or a metric is
            no longer a finite number; the last checkpoint stays as it was.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = options.folder / "checkpoint.pt"
    distributed = options.distributed
    first = load_checkpoint(checkpoint, trainer.name, trainer.parts, distributed) if options.resume else 0
    networks = [part for part in trainer.parts.values() if isinstance(part, nn.Module)]
    if distributed.world_size > 1:
        broadcast_weights(networks, distributed)
        convert_sync_batch_norms(networks, distributed)
    bar = tqdm(
        range(first, trainer.steps),
        initial=first,
        total=trainer.steps,
        desc=trainer.name,
        unit="step",
        disable=not (options.show_progress and distributed.is_main),
    )
    with MetricsLog(options.folder / "metrics.jsonl" if distributed.is_main else None, first) as log:
        for step in bar:
            shards = [trainer.step(step, shard) for shard in _shards(step, options)]
            metrics = run_step(shards, networks, distributed)
            done = step + 1
            try:
                log.add(metrics, done)
            except ValueError as error:
                raise ValueError(f"{trainer.name}, {error}") from None
            if done % options.log_every == 0 or done == trainer.steps:
                means = log.write(done)
                bar.set_postfix({name: f"{value:.3g}" for name, value in list(means.items())[:4]})
            if distributed.is_main and (done % options.checkpoint_every == 0 or done == trainer.steps):
                save_checkpoint(checkpoint, trainer.name, trainer.parts, done)
            if distributed.is_main and (done % options.sheet_every == 0 or done == trainer.steps):
                trainer.sheet().save(options.folder / f"sheet-{done:06d}.png")
    distributed.barrier()  # for the last checkpoint, which the next run may begin with
    return log.lines


def _shards(step: int, options: RunOptions) -> list[Shard]:
    """This rank's shards of a step."""
    first = options.distributed.rank * options.accumulate
    return [
        Shard(shard_generator(options.seed, step, shard), options.precision)
        for shard in range(first, first + options.accumulate)
    ]
