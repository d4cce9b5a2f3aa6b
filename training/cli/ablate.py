"""Verb `ablate` of the command `maskweave`."""

from __future__ import annotations

import shlex
import sys
from typing import get_args

import click
import torch
from click_option_group import optgroup

from training.ablations.configs import Budget
from training.ablations.montage import QUALITY, montage
from training.ablations.page import as_markdown
from training.ablations.report import IMAGES, PUBLISHED, report, write
from training.ablations.run import cells_of, run_cell
from training.ablations.tables import TABLES
from training.cli.options import EXPECTED, RUNS, chosen_device, device_choice, examples, pack_name, positive
from training.config.packs import pack_method
from training.evaluation.sis_ug import MAX_PAIRS, MIN_PAIRS
from training.groupdnet.config import METHOD, load_styles_config
from training.runs.options import RunOptions
from training.runs.updates import Precision
from training.sis_ug.config import load_config

_share = click.FloatRange(min=0, min_open=True, max=1)


@click.command(
    epilog=examples(
        "ablate losses --pack faces64 --dry-run",
        "ablate losses --pack faces64 --seeds 2 --steps-fraction 0.1 --batch-fraction 0.5",
        "ablate groups --pack faces64_styles --steps-fraction 0.1 --samples 4096",
    )
)
@click.argument("table", type=click.Choice(list(TABLES)))
@optgroup.group("What is trained")
@optgroup.option("--pack", type=pack_name, required=True, help="The pack whose configuration is varied.")
@optgroup.option("--seeds", type=positive, default=2, show_default=True, help="Trainings of each variant.")
@optgroup.option(
    "--steps-fraction",
    type=_share,
    default=1.0,
    show_default=True,
    help="Of the steps of every run that the configuration names.",
)
@optgroup.option(
    "--batch-fraction", type=_share, default=1.0, show_default=True, help="Of every batch; multiples of 4."
)
@optgroup.option(
    "--samples",
    type=positive,
    help="Packs of GroupDNet: how many of the training samples are used; all by default.",
)
@optgroup.group("What is measured")
@optgroup.option(
    "--pairs",
    type=click.IntRange(min=MIN_PAIRS),
    default=MAX_PAIRS,
    show_default=True,
    help="Held-out pairs.",
)
@optgroup.option(
    "--publish",
    is_flag=True,
    help=f"Write the figures to {PUBLISHED}/ and images to {IMAGES}/, for the page docs/ablations.md.",
)
@optgroup.group("Where it runs")
@optgroup.option("--device", type=device_choice, default="auto", show_default=True)
@optgroup.option("--threads", type=positive, help="CPU threads; PyTorch's own choice by default.")
@optgroup.option("--precision", type=click.Choice(get_args(Precision)), default="auto", show_default=True)
@optgroup.option("--checkpoint-every", type=positive, default=100, show_default=True, help="Steps.")
@optgroup.group("Before anything is trained")
@optgroup.option("--dry-run", is_flag=True, help="Only tell what would be trained, and what is done.")
def ablate(
    *,
    table: str,
    pack: str,
    seeds: int,
    steps_fraction: float,
    batch_fraction: float,
    samples: int | None,
    pairs: int,
    publish: bool,
    device: str,
    threads: int | None,
    precision: Precision,
    checkpoint_every: int,
    dry_run: bool,
) -> None:
    """Train and measure the variants of a TABLE: a pack with and without one of its parts.

    Each variant is trained with every seed, from the same shipped weights where the table shares some, and
    evaluated on the same held-out pairs. Runs, weights and figures are kept in runs/ablations/PACK/: a
    command that was stopped goes on, and what variants or tables share is trained once.
    """
    chosen, budget = TABLES[table], Budget(steps_fraction, batch_fraction, samples)
    place = RUNS / "ablations" / pack
    try:
        if pack_method(pack) != chosen.method:
            raise ValueError(f"{table}: is for packs of {chosen.method!r}, and {pack} is none")
        config = load_styles_config(pack) if chosen.method == METHOD else load_config(pack)
        cells = cells_of(table, chosen, config, budget, range(seeds), pairs, place)
        if dry_run:
            for cell in cells:
                state = "left" if cell.figures() is None else "done"
                click.echo(f"{state}  {cell.variant.name}, seed {cell.seed}")
            return
        if threads:
            torch.set_num_threads(threads)
        options = RunOptions(
            folder=place,
            device=chosen_device(device),
            checkpoint_every=checkpoint_every,
            sheet_every=1_000_000,  # the last one alone
            precision=precision,
        )
        command = shlex.join(["maskweave", *sys.argv[1:]])
        for cell in cells:
            run_cell(chosen, cell, place, options, pairs, lambda text: click.echo(f"{text} ...", err=True))
            found = report(table, pack, budget, pairs, command, cells)
            write(place / f"{table}.json", found)
            if publish:
                write(PUBLISHED / f"{table}.json", found)
                if (shown := montage(cells)) is not None:
                    shown.save(IMAGES / f"ablations_{table}.jpg", quality=QUALITY)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(as_markdown(found)))
