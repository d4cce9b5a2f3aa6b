"""Verbs `data`, `train` and `evaluate` of the command `maskweave`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
import torch
from PIL import Image

from training import stages
from training.config import available_packs, load_config, pack_folder, pack_method, shared_out
from training.data.files import square_pictures
from training.data.labelled import LabellerError, load_split
from training.data.splits import make_split
from training.distances import INCEPTION, Features, inception_features
from training.evaluate import HELDOUT, MIN_PAIRS, Evaluator
from training.evaluation_table import as_markdown
from training.groupdnet.dry_run import report
from training.groupdnet.evaluate import StylesEvaluator, load_styles
from training.groupdnet.evaluate import as_markdown as styles_as_markdown
from training.groupdnet.pack_config import METHOD, load_styles_config
from training.groupdnet.showcase import Showcase
from training.groupdnet.sources import source_of
from training.groupdnet.stage import train_styles
from training.networks import pretrained_generator
from training.pipeline import load_judge, load_pipeline
from training.runs import RunOptions
from training.team import launch
from training.updates import Precision

RUNS = Path("runs")
STYLES = "styles"
MAPPER = "mapper"
EXPECTED = (FileNotFoundError, LabellerError, ValueError)

Findings = tuple[str, dict[str, object], dict[str, Image.Image]]
"""Of an evaluation: tables, figures, contact sheets by name."""

pack_choice = click.Choice(available_packs())
device_choice = click.Choice(["auto", "cpu", "cuda"])
positive = click.IntRange(min=1)


@click.command()
@click.argument("pack", type=pack_choice)
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--fresh", is_flag=True, help="Label all samples anew instead of going on.")
def data(pack: str, device: str, fresh: bool) -> None:
    """Draw and label the samples a PACK trains on and is evaluated on (data/PACK/).

    Samples are kept part by part: a run that was stopped goes on where it was. The labeller is tried on a few
    images first, which data/PACK/probe.png shows.
    """
    try:
        config = load_config(pack)
        generator = pretrained_generator(config).to(chosen_device(device))
        for split in config.data.splits:
            folder = make_split(config, generator, split, fresh=fresh, show_progress=True)
            count = len(load_split(config, generator, split))
            left_out = len(config.data.seeds(split)) - count
            without = f", without {left_out} in which the labeller found nothing" if left_out else ""
            click.echo(f"{folder}: {count} samples{without}")
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


def chosen_device(asked: str) -> str:
    """The device that --device asks for; "auto" is CUDA where there is one."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("PyTorch finds no CUDA device", param_hint="'--device'")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


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
            config = shared_out(load_styles_config(pack), "training", shards)
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
        team = launch(chosen, devices, nodes)
        if threads:
            torch.set_num_threads(threads)
        run(
            RunOptions(
                folder=RUNS / pack,
                device=team.device,
                seed=seed,
                resume=not fresh,
                log_every=log_every,
                checkpoint_every=checkpoint_every,
                sheet_every=sheet_every,
                accumulate=accumulate,
                precision=precision,
                team=team,
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


@click.command()
@click.argument("pack", type=pack_choice)
@click.option(
    "--pairs", type=click.IntRange(min=MIN_PAIRS), help="By default 500, or as many as the split has."
)
@click.option(
    "--split",
    type=click.Choice([HELDOUT, "validation"]),
    default=HELDOUT,
    show_default=True,
    help="validation is for looking at while a pack is made. Not for packs of GroupDNet.",
)
@click.option(
    "--strength",
    "strengths",
    type=click.FloatRange(0, 1),
    multiple=True,
    help="Repeatable; the default dial if left out. Not for packs of GroupDNet, which have no dial.",
)
@click.option(
    "--inception",
    is_flag=True,
    help="Distances in Inception's features too (FID, KID), if torch-fidelity and its weights can be had.",
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of square PNG or JPEG, faces in the generator's place: gives the inverter a second row.",
)
def evaluate(
    *,
    pack: str,
    pairs: int | None,
    split: str,
    strengths: tuple[float, ...],
    inception: bool,
    photographs: Path | None,
) -> None:
    """Measure a PACK on held-out pairs and draw its contact sheets (runs/PACK/evaluation/)."""
    features = _inception() if inception else {}
    try:
        if pack_method(pack) == METHOD:
            if strengths:
                raise click.BadParameter(f"{pack} has no style strength", param_hint="'--strength'")
            if photographs is not None:
                raise click.BadParameter(f"{pack} has no inverter", param_hint="'--photographs'")
            if split != HELDOUT:
                raise click.BadParameter(f"{pack} has no split {split}", param_hint="'--split'")
            table, figures, sheets = _evaluate_styles(pack, pairs, features)
        else:
            table, figures, sheets = _evaluate(pack, pairs, split, strengths, features, photographs)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    folder = RUNS / pack / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, sheet in sheets.items():
        sheet.save(folder / f"{name}.png")
    click.echo(table)
    click.echo(f"\nMore in {folder}: metrics.json, {', '.join(f'{name}.png' for name in sheets)}")


def _inception() -> dict[str, Features]:
    try:
        return {INCEPTION: inception_features()}
    except FileNotFoundError as error:
        click.echo(f"Inception's features are left out: {error}.", err=True)
        return {}


def _evaluate(
    pack: str,
    pairs: int | None,
    split: str,
    strengths: tuple[float, ...],
    features: dict[str, Features],
    photographs: Path | None,
) -> Findings:
    config = load_config(pack)
    default = config.mapper.style_strength.default
    pipeline = load_pipeline(config, pack_folder(pack))
    if photographs is not None and pipeline.inverter is None:
        raise ValueError(f"--photographs: {pack} has no inverter: run `maskweave train inversion` first")
    given = None if photographs is None else square_pictures(photographs, pipeline.generator.image_size)
    judge = load_judge(config, pack_folder(pack))
    if judge is None:
        click.echo("No judge reads the results: `maskweave train judge` makes one.", err=True)
    evaluator = Evaluator(
        config,
        pipeline,
        pairs,
        features=features,
        judge=judge,
        split=split,
        tell=lambda text: click.echo(f"{text} ...", err=True),
    )
    result = evaluator.evaluate(list(strengths) or [default])
    others, sheets = evaluator.evaluate_conditions(default)
    result.rows.update(others.rows)
    result.reconstructions.update(evaluator.evaluate_inverter(given))
    sheets |= {"sheet": evaluator.sheet(default), "worst": evaluator.worst(default), "dial": evaluator.dial()}
    return as_markdown(result, config), result.as_dict(), sheets


def _evaluate_styles(pack: str, pairs: int | None, features: dict[str, Features]) -> Findings:
    config, folder = load_styles_config(pack), pack_folder(pack)
    trained = load_styles(config, folder)
    evaluator = StylesEvaluator(trained, source_of(config, folder), pairs, features=features)
    result = evaluator.evaluate()
    return styles_as_markdown(result), result.as_dict(), Showcase(trained, evaluator.pairs).sheets()
