"""Verb `train` of the command `maskweave`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
import torch
from click_option_group import optgroup

from training.cli.options import EXPECTED, RUNS, chosen_device, device_choice, examples, pack_name, positive
from training.config.batches import split_batches
from training.config.packs import pack_folder, pack_method
from training.groupdnet import judging
from training.groupdnet.config import METHOD, StylesConfig, load_styles_config
from training.groupdnet.dry_run import judge_report, report
from training.groupdnet.stage import fit_anew, train_styles
from training.runs.distributed import launch
from training.runs.options import RunOptions
from training.runs.updates import Precision
from training.sis_ug import plan, stages
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.pipeline import JUDGE
from training.sis_ug.students.stage import Student
from training.whole.stages import STYLES
from training.whole.train import plan as whole_plan
from training.whole.train import train_all

ALL = "all"
MAPPER = "mapper"
STUDENTS = "students"
MOST_GIB = 1_000_000


def _number(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # neither below the range nor above it
        raise click.BadParameter("nan is no number")
    return value


@click.command(
    epilog=examples(
        "train all --pack faces64 --dry-run",
        "train all --pack faces64",
        "train styles --pack rooms --dry-run --memory 24",
        "train styles --pack rooms --devices 4",
        "train mapper --pack faces64 --cycle proxies",
        "train students --pack faces64 --only reader",
    )
)
@click.argument("stage", type=click.Choice((*stages.STAGES, STYLES, ALL)))
@optgroup.group("What is trained")
@optgroup.option("--pack", type=pack_name, required=True, help="The pack to train for.")
@optgroup.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@optgroup.option("--fresh", is_flag=True, help="Start anew instead of going on from the last checkpoint.")
@optgroup.group("Stage mapper")
@optgroup.option(
    "--cycle",
    type=click.Choice(get_args(stages.Cycle)),
    help="What judges its last phase. labels (the default): a label segmenter; proxies: proxy masks alone, "
    "the rearranger stays as it is; none: there is no such phase.",
)
@optgroup.option("--no-cycle", is_flag=True, help="The same as --cycle none.")
@optgroup.option("--keep-rearranger", is_flag=True, help="The cycle tunes the mapper alone.")
@optgroup.group("Stage students")
@optgroup.option(
    "--only",
    type=click.Choice(get_args(Student)),
    multiple=True,
    help="One of them, or the cycle that tunes mapper and rearranger; repeatable. All by default.",
)
@optgroup.group("Stage styles")
@optgroup.option(
    "--fit-only",
    is_flag=True,
    help="Train nothing: fit expectation and prior anew to the pack's network.",
)
@optgroup.group("Where it runs")
@optgroup.option("--device", type=device_choice, default="auto", show_default=True)
@optgroup.option("--threads", type=positive, help="CPU threads; PyTorch's own choice by default.")
@optgroup.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="auto",
    show_default=True,
    help="Of the networks in training; auto is bf16 where that is faster.",
)
@optgroup.option(
    "--accumulate",
    type=positive,
    default=1,
    show_default=True,
    help="Micro-batches that each process divides its part of a batch into.",
)
@optgroup.option("--devices", type=positive, default=1, show_default=True, help="Processes on each machine.")
@optgroup.option(
    "--nodes", type=positive, default=1, show_default=True, help="Machines; see docs/training.md."
)
@optgroup.group("What it reports")
@optgroup.option("--log-every", type=positive, default=50, show_default=True, help="Steps.")
@optgroup.option("--sheet-every", type=positive, default=500, show_default=True, help="Steps.")
@optgroup.option("--checkpoint-every", type=positive, default=250, show_default=True, help="Steps.")
@optgroup.group("Before anything is trained")
@optgroup.option(
    "--dry-run",
    is_flag=True,
    help="Only tell what the stage needs and writes, and of all what is done and what is left; for packs of "
    "GroupDNet the memory and time a step, too. Needs no GPU.",
)
@optgroup.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True, max=MOST_GIB),
    callback=_number,
    default=24.0,
    show_default=True,
    help="Packs of GroupDNet: GiB of the GPU that --dry-run finds the largest batch for.",
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
    only: tuple[Student, ...],
    fresh: bool,
    fit_only: bool,
    log_every: int,
    checkpoint_every: int,
    sheet_every: int,
    dry_run: bool,
    memory: float,
) -> None:
    """Train one STAGE of a pack: proxies, then rearranger, then mapper; sketch, scribble, judge at any time.

    Last come the students, small networks that are served in the place of their teachers.
    Packs of GroupDNet have the stages styles and judge. PACK is a folder's name in packs/, or one of the
    product's.

    all makes the pack's data where it is missing, then trains every stage that the pack has, in the order of
    their needs; what it has finished it passes over.

    Metrics, contact sheets and checkpoints go to runs/PACK/, the finished weights into the pack's folder. A
    run that was stopped goes on from its last checkpoint, on however many processes.
    """
    given = _cycle(stage, cycle, no_cycle=no_cycle, keep_rearranger=keep_rearranger) | _only(stage, only)
    if fit_only and (stage != STYLES or dry_run or devices * nodes > 1):
        raise click.BadParameter(
            f"is for the stage {STYLES}, in one process, without --dry-run", param_hint="'--fit-only'"
        )
    shards = devices * nodes * accumulate
    try:
        if dry_run:
            if stage == ALL:
                click.echo(
                    whole_plan(_config(pack), pack_folder(pack), RUNS / pack, seed, shards, fresh=fresh)
                )
            else:
                click.echo(_dry_run(stage, pack, shards, accumulate, precision, memory, given))
            return
        chosen = chosen_device(device)
        run: Callable[[RunOptions], None]
        if stage == ALL:
            run = partial(_train_all, _config(pack), pack_folder(pack), fresh=fresh)
        elif stage == STYLES:
            run = partial(fit_anew if fit_only else train_styles, load_styles_config(pack), pack_folder(pack))
        elif _is_judge_of_folders(stage, pack):
            run = partial(judging.train_judge, load_styles_config(pack), pack_folder(pack))
        else:
            run = partial(stages.STAGES[stage], load_config(pack), pack_folder(pack), **given)
        distributed = launch(chosen, devices, nodes)
        if threads:
            torch.set_num_threads(threads)
        run(
            RunOptions(
                folder=RUNS / pack,
                device=distributed.device,
                seed=seed,
                resume=stage == ALL or not fresh,  # which has removed the checkpoints by then
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
    except torch.OutOfMemoryError:
        raise click.ClickException(
            f"{stage}: the device's memory is too small for this batch: lower it in the pack's "
            "configuration, or divide it with --accumulate; with --dry-run packs of GroupDNet tell what fits"
        ) from None


def _dry_run(
    stage: str,
    pack: str,
    shards: int,
    accumulate: int,
    precision: Precision,
    memory: float,
    given: dict[str, Any],
) -> str:
    if stage == STYLES:
        config = split_batches(load_styles_config(pack), "training", shards)
        return report(config, accumulate, precision, memory)
    if _is_judge_of_folders(stage, pack):
        split = split_batches(load_styles_config(pack), JUDGE, shards)
        return judge_report(split, accumulate, precision, memory, pack_folder(pack), RUNS / pack)
    own = load_config(pack)
    planned = plan.plan_of(own, stage, **given)
    return plan.report(own, planned, stage, shards, precision, pack_folder(pack), RUNS / pack)


def _config(pack: str) -> PackConfig | StylesConfig:
    return load_styles_config(pack) if pack_method(pack) == METHOD else load_config(pack)


def _train_all(config: PackConfig | StylesConfig, folder: Path, options: RunOptions, *, fresh: bool) -> None:
    tell = partial(click.echo, err=True) if options.distributed.is_main else _say_nothing
    train_all(config, folder, options, tell, fresh=fresh)


def _say_nothing(_text: str) -> None:
    """For ranks other than the first."""


def _is_judge_of_folders(stage: str, pack: str) -> bool:
    return stage == JUDGE and pack_method(pack) == METHOD


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


def _only(stage: str, only: tuple[Student, ...]) -> dict[str, Any]:
    """Which students the options name, as `train_students` takes it."""
    if only and stage != STUDENTS:
        raise click.BadParameter(f"is for the stage {STUDENTS}, not {stage}", param_hint="'--only'")
    return {"only": only} if only else {}
