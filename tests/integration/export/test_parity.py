"""The comparison with PyTorch notices graphs that compute something else."""

import copy
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.parity import ParityError, parity_errors
from export.stages import Stage, TensorSpec, example_inputs
from tests.support.wrong_graphs import (
    put_nan,
    round_twice,
    shift_decision,
    transpose_output,
    write_threshold,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Compare = Callable[[str, Callable[[Path], None]], dict[str, ParityError]]


@pytest.fixture
def compare(stages: dict[str, Stage], repository: Path, tmp_path: Path) -> Compare:
    """Compare a stage with its graph after something was done to the graph."""

    def run(name: str, spoil: Callable[[Path], None]) -> dict[str, ParityError]:
        stage, graph = stages[name], tmp_path / "model.onnx"
        shutil.copy(repository / stage.name / "1" / "model.onnx", graph)
        spoil(graph)
        return {error.tensor: error for error in parity_errors(stage, graph, example_inputs(stage, 3))}

    return run


def test_other_weights_are_noticed(stages: dict[str, Stage], repository: Path) -> None:
    stage = stages["rearranger"]
    trained_on = copy.deepcopy(stage.module)
    weight = trained_on.get_parameter("pipeline.rearranger.residual.32.leave.weight")
    with torch.no_grad():
        weight.mul_(1.01)
    path = repository / stage.name / "1" / "model.onnx"
    (error,) = parity_errors(replace(stage, module=trained_on), path, example_inputs(stage, 1))
    assert error.tensor == "REARRANGED_FEATURES"
    assert error.excessive


def test_wrong_layout_after_the_decision_is_noticed(compare: Compare) -> None:
    errors = compare("mapper_label_map", transpose_output)
    assert errors.pop("TARGET_PROXY_MASK").excessive
    assert not any(error.excessive for error in errors.values())  # the logits before it are right


def test_nan_is_not_taken_for_a_small_error(compare: Compare) -> None:
    errors = compare("rearranger", put_nan)
    assert errors["REARRANGED_FEATURES"].size == math.inf
    assert errors["REARRANGED_FEATURES"].excessive


def test_other_number_of_decisions_is_an_error(compare: Compare) -> None:
    with pytest.raises(ValueError, match="faces64_generator_tail: PyTorch takes 1 decisions, the graph 2"):
        compare("generator_tail", round_twice)


class Threshold(torch.nn.Module):
    """A decision that everything after it hangs on."""

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores `[N, 2, 100]` to 0 or 100 in each cell."""
        return scores.argmax(1).float() * 100


@pytest.mark.parametrize(("ties", "excessive"), [(1, False), (20, True)], ids=["few", "many"])
def test_close_calls_do_not_spoil_what_follows_them(ties: int, excessive: bool, tmp_path: Path) -> None:
    scores = torch.randn(4, 2, 100, generator=torch.Generator().manual_seed(0))
    scores[0, 1, :ties] = scores[0, 0, :ties]  # PyTorch takes the first, the graph leans to the second
    graph = tmp_path / "model.onnx"
    write_threshold(graph, lean=1e-6)
    float32 = torch.float32
    specs = (TensorSpec("SCORES", float32, (2, 100)),), (TensorSpec("PICTURE", float32, (100,)),)
    errors = parity_errors(Stage("threshold", Threshold(), *specs), graph, (scores,))
    found = {error.tensor: error for error in errors}
    assert found["PICTURE"].size == 0
    assert found["leaning"].size < 1e-6
    assert found["decided"].size == ties / 400
    assert found["decided"].excessive == excessive


def test_graph_that_does_not_follow_its_own_decision_is_noticed(compare: Compare) -> None:
    errors = compare("generator_head", shift_decision)
    assert errors["SOURCE_HISTOGRAM"].excessive
    assert not errors["argmax"].excessive
