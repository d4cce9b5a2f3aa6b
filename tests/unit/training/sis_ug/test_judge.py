"""The judge of the evaluation: what it is built of, and that nothing but the evaluation asks it."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from training.evaluation.notes import touched
from training.networks.judge import Judge
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import judge, label_segmenter, proxy_segmenter

TRAINING = Path(__file__).parents[4] / "training"
MAY_KNOW_IT = {
    *(f"sis_ug/{name}.py" for name in ("networks/build", "pipeline", "stages", "loops/judge")),
    *("networks/judge.py", "groupdnet/judging.py", "groupdnet/dry_run.py", "groupdnet/cost.py"),
    *("evaluation/sis_ug.py", "evaluation/groupdnet.py", "cli/evaluate.py", "cli/train.py"),
    "whole/stages.py",
    "ablations/measures.py",
}


@pytest.mark.parametrize(
    ("size", "cells"), [((32, 32), (16, 16)), ((64, 128), (32, 64)), ((256, 256), (64, 64))]
)
def test_judge_reads_label_maps_of_any_size(size: tuple[int, int], cells: tuple[int, int]) -> None:
    network = Judge(5, 16).eval()
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        assert network(images).shape == (2, 5, *size)
        (features,) = network.encode_features(images)
    assert features.shape == (2, 16, *cells)


def test_judge_sees_all_of_an_image() -> None:
    """A change in one corner can change what is read in the opposite one."""
    torch.manual_seed(0)
    network, images = Judge(5, 16).eval(), torch.zeros(1, 3, 64, 64)
    changed = images.clone()
    changed[..., :8, :8] = 1
    with torch.inference_mode():
        assert not torch.equal(network(images)[..., -1, -1], network(changed)[..., -1, -1])


def test_judge_is_built_of_other_parts_than_what_it_judges() -> None:
    config = load_config("faces64")

    def kinds(network: torch.nn.Module) -> set[str]:
        return {type(module).__name__ for module in network.modules()}

    for other in (proxy_segmenter(config), label_segmenter(config)):
        assert kinds(judge(config)) & kinds(other) <= {"Sequential", "Conv2d"}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, and what it imports of them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def test_no_loss_asks_the_judge() -> None:
    names = (
        "training.networks.judge",
        "training.groupdnet.judging",
        "training.sis_ug.networks.build.judge",
        "training.sis_ug.pipeline.load_judge",
    )
    know = {
        path.relative_to(TRAINING).as_posix()
        for path in TRAINING.rglob("*.py")
        if any(name in imported(path) for name in names)
    }
    assert know <= MAY_KNOW_IT
    assert {"evaluation/sis_ug.py", "sis_ug/loops/judge.py", "groupdnet/judging.py"} <= know


def test_nothing_else_uses_the_judges_samples() -> None:
    data = load_config("faces64").data
    assert data.splits == ("train", "heldout", "validation", "judge")
    everything = [seed for split in data.splits for seed in data.seeds(split)]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize("split", ["validation", "judge"])
@pytest.mark.parametrize("first", [0, 600, 1_000_500])
def test_splits_that_meet_are_refused(split: str, first: int) -> None:
    settings: dict[str, Any] = load_config("faces64").model_dump()
    settings["data"][split] = {"samples": 100, "first_seed": first}
    with pytest.raises(ValidationError, match=rf"and {split} seeds {first} to {first + 99} must not meet"):
        PackConfig.model_validate(settings)


def test_split_that_there_is_not_is_told() -> None:
    data = load_config("faces64").data.model_copy(update={"validation": None})
    assert "validation" not in data.splits
    with pytest.raises(ValueError, match=r"data\.validation: the configuration has no such split"):
        data.seeds("validation")


def test_notes_tell_whose_labels_each_table_has() -> None:
    config = load_config("faces64")
    notes = touched(config)
    assert "its labels taught the mapper" in notes["read"]
    assert "seeds 3000000 to 3004095, which nothing else used" in notes["judged"]
    assert "its labels are those of training.data.face_labeller, too" in notes["judged"]
    own = config.model_copy(update={"data": config.data.model_copy(update={"labeller": None})})
    assert "Read by the judge" in touched(own)["read"]
    assert "a handful" in touched(own)["read"]
