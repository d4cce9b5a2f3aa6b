"""What every training run has in common, on a trainer of one weight."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from training.runs import Metrics, RunOptions, Stateful, moving_average, train, warm_cosine


class Walk:
    """Adds a random number a step; stops where it is told to."""

    name = "walk"

    def __init__(self, steps: int = 20, stop_at: int | None = None, size: int = 1) -> None:
        self.steps, self.stop_at = steps, stop_at
        self.weight = nn.Linear(size, 1, bias=False)
        nn.init.zeros_(self.weight.weight)
        self.parts: dict[str, Stateful] = {"weight": self.weight}

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        if step == self.stop_at:
            raise KeyboardInterrupt
        with torch.no_grad():
            self.weight.weight += torch.randn(1, generator=generator)
        return {"position": self.position, "constant": 1.0}

    @property
    def position(self) -> float:
        return self.weight.weight.sum().item()

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (2, 1))


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    return RunOptions(tmp_path, log_every=4, checkpoint_every=10, sheet_every=8, show_progress=False)


def logged(options: RunOptions) -> list[dict[str, float]]:
    return [json.loads(line) for line in (options.folder / "metrics.jsonl").read_text().splitlines()]


def test_run_leaves_metrics_sheets_and_a_checkpoint(options: RunOptions) -> None:
    lines = train(Walk(), options)
    assert lines == logged(options)
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
    assert {line["constant"] for line in lines} == {1.0}  # means, not sums
    names = {path.name for path in options.folder.iterdir()}
    sheets = {f"sheet-{step:06d}.png" for step in (8, 16, 20)}
    assert names == {"metrics.jsonl", "checkpoint.pt", *sheets}


def test_stopped_run_goes_on_as_if_never_stopped(options: RunOptions, tmp_path: Path) -> None:
    whole = Walk()
    train(whole, replace(options, folder=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(Walk(stop_at=17), options)
    assert [line["step"] for line in logged(options)] == [4, 8, 12, 16]
    resumed = Walk()
    train(resumed, options)
    assert resumed.position == whole.position
    # 10 is where the checkpoint was; what was logged after it is done, and logged, again.
    assert [line["step"] for line in logged(options)] == [4, 8, 12, 16, 20]


def test_finished_run_does_nothing_more(options: RunOptions) -> None:
    first, again = Walk(), Walk()
    train(first, options)
    assert train(again, options) == []
    assert again.position == first.position


def test_fresh_run_forgets_the_one_before(options: RunOptions) -> None:
    train(Walk(), options)
    assert len(train(Walk(), replace(options, resume=False))) == 5
    assert len(logged(options)) == 5


def test_seed_decides_every_step(options: RunOptions, tmp_path: Path) -> None:
    first, same, other = Walk(), Walk(), Walk()
    train(first, replace(options, folder=tmp_path / "first"))
    train(same, replace(options, folder=tmp_path / "same"))
    train(other, replace(options, folder=tmp_path / "other", seed=1))
    assert same.position == first.position != other.position


def test_diverged_run_stops_and_keeps_its_last_checkpoint(options: RunOptions) -> None:
    class Diverging(Walk):
        def step(self, step: int, generator: torch.Generator) -> Metrics:
            return {**super().step(step, generator), "loss": math.nan if step == 12 else 0.0}

    with pytest.raises(ValueError, match="walk, step 13: loss is nan; training has diverged"):
        train(Diverging(), options)
    assert torch.load(options.folder / "checkpoint.pt", weights_only=True)["step"] == 10


def test_checkpoint_of_another_shape_says_what_to_do(options: RunOptions) -> None:
    train(Walk(), options)
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt: weight does not fit .* start anew with --fresh .*size"
    ):
        train(Walk(size=2), options)


def test_checkpoint_of_another_trainer_is_refused(options: RunOptions) -> None:
    class Other(Walk):
        name = "other"

    train(Walk(), options)
    with pytest.raises(ValueError, match="made by 'walk', not by 'other'"):
        train(Other(), options)


def test_learning_rate_rises_then_falls_to_its_floor() -> None:
    rates = [warm_cosine(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[99] == pytest.approx(1.0)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=1e-4)


def test_moving_average_follows_weights_and_statistics() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = moving_average(network, decay=0.9)
    weight, mean = network.get_parameter("0.weight"), network.get_buffer("1.running_mean")
    for value in (1.0, 2.0):
        with torch.no_grad():
            weight.fill_(value)
            mean.fill_(-value)
        average.update_parameters(network)
    # The first update copies; at the second 2/11 of the old are kept, less than the decay.
    assert average.module.get_parameter("0.weight").item() == pytest.approx(2 - 2 / 11)
    assert average.module.get_buffer("1.running_mean").item() == pytest.approx(-2 + 2 / 11)
    assert not any(parameter.requires_grad for parameter in average.parameters())
