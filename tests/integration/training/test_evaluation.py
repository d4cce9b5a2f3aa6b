"""Evaluation from held-out labels to table and sheet, with a labeller program in its own process."""

import sys
from pathlib import Path

import numpy as np
import pytest

from training.conditions.drawn_by_hand import hand_scribbles, hand_sketches
from training.data.labelled import LabellerError, load_split, run_labeller
from training.evaluation.sis_ug import Evaluator
from training.evaluation.tables import as_markdown
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import load_judge, load_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PAIRS = 12


@pytest.fixture
def evaluator(trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    monkeypatch.chdir(trained)
    pipeline, judge = load_pipeline(config, trained / "pack"), load_judge(config, trained / "pack")
    return Evaluator(config, pipeline, PAIRS, Path(sys.executable), judge=judge)


def test_bounds_enclose_what_is_measured(evaluator: Evaluator, config: PackConfig) -> None:
    result = evaluator.evaluate([0.5, 1.0])
    assert list(result.rows) == ["chance", "upper bound", "style strength 0.5", "style strength 1"]
    chance, upper = result.rows["chance"].agreement, result.rows["upper bound"].agreement
    assert upper.accuracy > 0.8 > chance.accuracy  # the labeller agrees with itself on noised images
    assert all(len(row.agreement.iou) == len(config.palette) for row in result.rows.values())
    assert all(0 <= row.detected <= 1 and row.style_error >= 0 for row in result.rows.values())


def test_table_shows_every_row_and_class(evaluator: Evaluator, config: PackConfig) -> None:
    table = as_markdown(evaluator.evaluate([0.5]), config)
    assert f"{PAIRS} held-out pairs" in table
    assert all(
        name in table for name in ("chance", "upper bound", "style strength 0.5", *config.palette.names)
    )


def test_every_other_condition_has_a_row_and_a_place_on_the_sheet(evaluator: Evaluator) -> None:
    result, sheets = evaluator.evaluate_conditions(0.25)
    kinds = [name.split(",")[0] for name in result.rows]
    assert kinds == ["sketch", "sketch", "scribble", "scribble", "exemplar"]
    assert all(0 <= row.agreement.accuracy <= 1 for row in result.rows.values())
    assert set(sheets) == {"conditions", "by_hand"}
    drawings, cell = len(hand_sketches()) + len(hand_scribbles(evaluator.config.palette)), 96
    assert sheets["by_hand"].height == drawings * cell


def test_judge_reads_every_result_too_and_gives_features(evaluator: Evaluator, config: PackConfig) -> None:
    result = evaluator.evaluate([0.5])
    judged = [row.judged for row in result.rows.values()]
    assert all(one is not None and len(one.iou) == len(config.palette) for one in judged)
    assert result.rows["upper bound"].judged != result.rows["upper bound"].agreement  # another reader
    table = as_markdown(result, config)
    assert table.count("Read by") == 2
    assert "asked by no loss" in table
    assert "by features of the judge" in table


def test_pack_without_labeller_is_read_by_its_judge(
    trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    own = config.model_copy(update={"data": config.data.model_copy(update={"labeller": None})})
    pipeline = load_pipeline(own, trained / "pack")
    with pytest.raises(ValueError, match="has no labeller and no judge: run `maskweave train judge` first"):
        Evaluator(own, pipeline, PAIRS)
    evaluator = Evaluator(own, pipeline, PAIRS, Path("/nowhere"), judge=load_judge(own, trained / "pack"))
    row = evaluator.evaluate([0.5]).rows["upper bound"]
    assert row.judged is None
    assert row.detected == 1
    assert row.agreement.accuracy > 0.3


def test_as_many_pairs_as_there_are_without_a_number(
    trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    pipeline = load_pipeline(config, trained / "pack")
    for split in ("heldout", "validation"):
        count = len(load_split(config, pipeline.generator, split))
        assert Evaluator(config, pipeline, None, split=split).pairs == count - 1
    assert not np.array_equal(
        Evaluator(config, pipeline, None).wanted[:5],
        Evaluator(config, pipeline, None, split="validation").wanted[:5],
    )


def test_strength_changes_the_images(evaluator: Evaluator) -> None:
    assert not np.array_equal(evaluator.synthesize(0.0), evaluator.synthesize(1.0))


def test_same_inputs_give_the_same_images(evaluator: Evaluator) -> None:
    assert np.array_equal(evaluator.synthesize(0.5), evaluator.synthesize(0.5))


def test_more_pairs_than_held_out_samples_are_refused(
    trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    with pytest.raises(ValueError, match=r"pairs: 1000 asked for, the heldout split allows 4 to \d+"):
        Evaluator(config, load_pipeline(config, trained / "pack"), 1000)


def test_missing_labeller_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(LabellerError, match="make labels-env"):
        run_labeller("training.data.face_labeller", np.zeros((1, 64, 64, 3), np.uint8), tmp_path / "python")


def test_failing_labeller_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LabellerError, match="ended with exit status 1"):
        run_labeller("tests.support.no_such_labeller", np.zeros((1, 8, 8, 3), np.uint8), Path(sys.executable))
