"""What a variant is measured by: the evaluation of its pack, and of that the figures that tables show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.ablations.trained import AnyConfig
from training.config.packs import pack_folder
from training.evaluation.distances import JUDGE_FEATURES
from training.evaluation.groupdnet import StylesEvaluator
from training.evaluation.showcase import Showcase
from training.evaluation.sis_ug import Evaluator
from training.groupdnet import judging
from training.groupdnet.config import StylesConfig
from training.groupdnet.sources import source_of
from training.groupdnet.trained import load_styles
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import load_judge, load_pipeline

Figures = dict[str, float]
EXEMPLAR = "exemplar"


@dataclass(frozen=True, slots=True)
class Measure:
    """A column.

    Attributes:
        title: of the column.
        digits: after the point.
        meaning: in a sentence's part, for the page.
    """

    title: str
    digits: int
    meaning: str


_SAME = "the same"
SIS_UG_MEASURES: dict[str, Measure] = {
    "map_accuracy": Measure(
        "map: accuracy",
        3,
        "another sample's label map through the mapper, as the labelling tool reads results",
    ),
    "map_miou": Measure("map: mIoU", 3, _SAME),
    "map_judge_miou": Measure("map: judge's mIoU", 3, "the same, as the judge reads results"),
    "map_style_error": Measure(
        "map: style error", 1, "mean colours of classes, apart from those of the style's source, of 255"
    ),
    "map_frechet": Measure("map: Fréchet", 3, "distance to real images, in features of the judge"),
    "mask_accuracy": Measure(
        "mask: accuracy",
        3,
        "the proxy mask of another sample's image, as the proxy segmenter reads it, in place of a mapper's; "
        "results compared with that sample's label map, as the labelling tool reads them",
    ),
    "mask_miou": Measure("mask: mIoU", 3, _SAME),
    "mask_style_error": Measure("mask: style error", 1, "as above"),
    "mask_frechet": Measure("mask: Fréchet", 3, "as above"),
    "parameters": Measure("parameters (M)", 2, "of mapper and rearranger"),
}
GROUPDNET_MEASURES: dict[str, Measure] = {
    "reconstruction_psnr": Measure("own codes: PSNR (dB)", 1, "images drawn again from their codes"),
    "reconstruction_miou": Measure("own codes: mIoU", 3, "of these, as the labelling tool reads them"),
    "joint_accuracy": Measure("drawn: accuracy", 3, "codes of the joint prior, as the labelling tool reads"),
    "joint_miou": Measure("drawn: mIoU", 3, _SAME),
    "joint_judge_miou": Measure("drawn: judge's mIoU", 3, "the same, as the judge reads results"),
    "joint_frechet": Measure("drawn: Fréchet", 3, "distance to real images, in features of the judge"),
    "unfitted_frechet": Measure("N(0, 1): Fréchet", 3, "the same of codes drawn from N(0, 1)"),
    "own_change": Measure("mCSD", 4, "what a new code changes in its own part, mean over styles"),
    "other_change": Measure("mOCD", 4, "and elsewhere, where nothing should change"),
    "diversity": Measure("diversity (L1)", 3, "of two images of one label map"),
    "parameters": Measure("parameters (M)", 2, "of encoder and decoder"),
}


def measure(
    config: AnyConfig, folder: Path, pairs: int, seed: int, tell: Callable[[str], None]
) -> tuple[Figures, dict[str, Image.Image]]:
    """Evaluate a variant.

    Args:
        config: the variant's.
        folder: with its weights.
        pairs: held-out ones.
        seed: of what is drawn for the evaluation.
        tell: is told what is being done.

    Returns:
        Figures by the names of the measures, and contact sheets by name.

    Raises:
        ValueError: if the pack has no judge.
    """
    if isinstance(config, StylesConfig):
        return _measure_styles(config, folder, pairs, seed, tell)
    return _measure_sis_ug(config, folder, pairs, seed, tell)


def _measure_sis_ug(
    config: PackConfig, folder: Path, pairs: int, seed: int, tell: Callable[[str], None]
) -> tuple[Figures, dict[str, Image.Image]]:
    pipeline = load_pipeline(config, folder, students=False)
    judge = load_judge(config, pack_folder(config.pack.name))
    if judge is None:
        raise ValueError(f"no judge: `maskweave train judge --pack {config.pack.name}` makes one")
    evaluator = Evaluator(config, pipeline, pairs, judge=judge, tell=tell)
    strength = config.mapper.style_strength.default
    mapped = evaluator.evaluate([strength], seed)
    given, sheets = evaluator.evaluate_conditions(strength)
    figures: Figures = {}
    for prefix, evaluation, name in (
        ("map", mapped, f"style strength {strength:g}"),
        ("mask", given, EXEMPLAR),
    ):
        row = evaluation.rows[name]
        judged = row.judged or row.agreement  # without a labeller the judge is the reader
        figures |= {
            f"{prefix}_accuracy": row.agreement.accuracy,
            f"{prefix}_miou": row.agreement.miou,
            f"{prefix}_judge_miou": judged.miou,
            f"{prefix}_style_error": row.style_error,
            f"{prefix}_frechet": evaluation.distances[JUDGE_FEATURES][name].frechet,
            f"{prefix}_detected": row.detected,
        }
    trained = (*pipeline.mapper.parameters(), *pipeline.rearranger.parameters())
    figures["parameters"] = sum(each.numel() for each in trained) / 1e6
    return figures, sheets | {"sheet": evaluator.sheet(strength)}


def _measure_styles(
    config: StylesConfig, folder: Path, pairs: int, seed: int, tell: Callable[[str], None]
) -> tuple[Figures, dict[str, Image.Image]]:
    trained, judge = load_styles(config, folder), judging.load_judge(config, pack_folder(config.pack.name))
    if judge is None:
        raise ValueError("no judge: docs/training.md tells how to train one (section [judge])")
    evaluator = StylesEvaluator(trained, source_of(config, folder), pairs, judge=judge, tell=tell)
    found = evaluator.evaluate(seed)
    own, joint = found.rows["reconstruction"], found.rows["joint prior"]
    judged = joint.judged or joint.agreement
    distances, change = found.distances[JUDGE_FEATURES], found.changes["mean"]
    assert own.psnr is not None  # reconstructions have a target
    figures: Figures = {
        "reconstruction_psnr": own.psnr,
        "reconstruction_miou": own.agreement.miou,
        "joint_accuracy": joint.agreement.accuracy,
        "joint_miou": joint.agreement.miou,
        "joint_judge_miou": judged.miou,
        "joint_frechet": distances["joint prior"].frechet,
        "unfitted_frechet": distances["N(0, 1), unfitted"].frechet,
        "own_change": change.own_features,
        "other_change": change.other_features,
        "own_change_l1": change.own,
        "other_change_l1": change.other,
        "diversity": found.diversity,
        "parameters": sum(each.numel() for each in trained.network.parameters()) / 1e6,
    }
    return figures, Showcase(trained, evaluator.pairs).sheets()
