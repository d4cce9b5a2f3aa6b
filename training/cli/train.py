"""Verb `train` of the command `maskweave`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import click
import torch

from training.cli.options import EXPECTED, RUNS, chosen_device, device_choice, pack_choice, positive
from training.config.batches import split_batches
from training.config.packs import pack_folder
from training.groupdnet.config import load_styles_config
from training.groupdnet.dry_run import report
from training.groupdnet.stage import train_styles
from training.runs.distributed import launch
from training.runs.options import RunOptions
from training.runs.updates import Precision
from training.sis_ug import stages
from training.sis_ug.config import load_config

STYLES = "styles"
MAPPER = "mapper"


@click.command()
@click.argument("stage", type=click.Choice((*stages.STAGES, STYLES)))
@click.option("--pack", type=pack_choice, required=True, help="The pack to train for.")
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--threads", type=positive, help="CPU threads; PyTorch's own choice by default.")
@click.option("--devices", type=positive, default=1, show_default=True, help="Processes on each machine.")
@click.option("--nodes", type=positive, default=1, show_default=True, help="Machines; see docs/training.md.")
@click.option(
    "--accumulate",
    type=positive,
    default=1,
    show_default=True,
    help="Micro-batches that each process divides its part of a batch into.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="auto",
    show_default=True,
    help="Of the networks in training; auto is bf16 where that is faster.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--cycle",
    type=click.Choice(get_args(stages.Cycle)),
    help="Stage mapper: what judges its last phase. labels (the default): a label segmenter; proxies: proxy "
    "masks alone, the rearranger stays as it is; none: there is no such phase.",
)
@click.option("--no-cycle", is_flag=True, help="Stage mapper: the same as --cycle none.")
@click.option("--keep-rearranger", is_flag=True, help="Stage mapper: the cycle tunes the mapper alone.")
@click.option("--fresh", is_flag=True, help="Start anew instead of going on from the last checkpoint.")
@click.option("--log-every", type=positive, default=50, show_default=True, help="Steps.")
@click.option("--checkpoint-every", type=positive, default=250, show_default=True, help="Steps.")
@click.option("--sheet-every", type=positive, default=500, show_default=True, help="Steps.")
@click.option(
    "--dry-run", is_flag=True, help="Only tell memory and time a step; needs no GPU. For the stage styles."
)
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    help="GiB of the GPU that --dry-run finds the largest batch for.",
)
def train(
    *,
    stage: str,
    pack: str,
    device: str,
    threads: int | None,
    devices: int,
    nodes: int,
    accumulate: int,
    precision: Precision,
    seed: int,
    cycle: stages.Cycle | None,
    no_cycle: bool,
    keep_rearranger: bool,
    fresh: bool,
    log_every: int,
    checkpoint_every: int,
    sheet_every: int,
    dry_run: bool,
    memory: float,
) -> None:
    """Train one STAGE of a pack: proxies, then rearranger, then mapper; sketch, scribble, judge at any time.

    Packs of GroupDNet have the stage styles.

    Metrics, contact sheets and checkpoints go to runs/PACK/, the finished weights into the pack's folder. A
    run that was stopped goes on from its last checkpoint, on however many processes.
    """
    if dry_run:
        if stage != STYLES:
            raise click.BadParameter(f"only the stage {STYLES} has one", param_hint="'--dry-run'")
        try:
            shards = devices * nodes * accumulate
            config = split_batches(load_styles_config(pack), "training", shards)
            click.echo(report(config, accumulate, precision, memory))
        except EXPECTED as error:
            raise click.ClickException(str(error)) from None
        return
    chosen = chosen_device(device)
    mapping = _cycle(stage, cycle, no_cycle=no_cycle, keep_rearranger=keep_rearranger)
    try:
        run: Callable[[RunOptions], None]
        if stage == STYLES:
            run = partial(train_styles, load_styles_config(pack), pack_folder(pack))
        else:
            run = partial(stages.STAGES[stage], load_config(pack), pack_folder(pack), **mapping)
        distributed = launch(chosen, devices, nodes)
        if threads:
            torch.set_num_threads(threads)
        run(
            RunOptions(
                folder=RUNS / pack,
                device=distributed.device,
                seed=seed,
                resume=not fresh,
                log_every=log_every,
                checkpoint_every=checkpoint_every,
                sheet_every=sheet_every,
                accumulate=accumulate,
                precision=precision,
                distributed=distributed,
            )
        )
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


def _cycle(
    stage: str, cycle: stages.Cycle | None, *, no_cycle: bool, keep_rearranger: bool
) -> dict[str, Any]:
    """What the options say of the mapper's cycle, as `stages.train_mapper` takes it."""
    given = {"--cycle": cycle is not None, "--no-cycle": no_cycle, "--keep-rearranger": keep_rearranger}
    named = [name for name, is_given in given.items() if is_given]
    if stage != MAPPER:
        if named:
            raise click.BadParameter(f"is for the stage {MAPPER}, not {stage}", param_hint=f"'{named[0]}'")
        return {}
    if no_cycle and cycle not in (None, "none"):
        raise click.BadParameter(f"contradicts --cycle {cycle}", param_hint="'--no-cycle'")
    return {"cycle": "none" if no_cycle else cycle or "labels", "keep_rearranger": keep_rearranger}
