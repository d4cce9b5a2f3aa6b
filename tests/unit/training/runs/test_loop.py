"""What every training run has in common, on a trainer of one weight."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from training.runs.checkpoints import Stateful
from training.runs.distributed import convert_sync_batch_norms
from training.runs.loop import train
from training.runs.optimization import moving_average, warm_cosine
from training.runs.options import RunOptions
from training.runs.updates import SHARD_SEED_STRIDE, Learner, Shard, Step, Update, shard_generator


class Walk:
    """Adds a random number a step; stops where it is told to."""

    name = "walk"

    def __init__(self, steps: int = 20, stop_at: int | None = None, size: int = 1) -> None:
        self.steps, self.stop_at = steps, stop_at
        self.weight = nn.Linear(size, 1, bias=False)
        nn.init.zeros_(self.weight.weight)
        self.learner = Learner(self.weight, torch.optim.SGD(self.weight.parameters(), lr=1.0))
        self.parts: dict[str, Stateful] = {"weight": self.weight}

    def step(self, step: int, shard: Shard) -> Step:
        if step == self.stop_at:
            raise KeyboardInterrupt
        gradient = -torch.randn(1, generator=shard.generator)
        yield Update((self.weight.weight * gradient).sum(), (self.learner,))
        return {"position": self.position, "constant": 1.0}

    @property
    def position(self) -> float:
        return self.weight.weight.sum().item()

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (2, 1))


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    return RunOptions(tmp_path, log_every=4, checkpoint_every=10, sheet_every=8, show_progress=False)


class Regression:
    """A linear network after random points, by Adam; its gradient is always clipped."""

    name = "regression"
    steps = 5

    def __init__(self, batch: int) -> None:
        self.batch = batch
        torch.manual_seed(0)
        self.network = nn.Linear(3, 1)
        self.average = moving_average(self.network, decay=0.9)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.learner = Learner(self.network, optimizer, 0.01, self.average)
        self.parts: dict[str, Stateful] = {"network": self.network, "average": self.average}

    def points(self, shard: Shard) -> torch.Tensor:
        return torch.randn(self.batch, 3, generator=shard.generator)

    def step(self, step: int, shard: Shard) -> Step:
        points = self.points(shard)
        loss = (self.network(points)[:, 0] - points.sum(1)).square().mean()
        yield Update(loss, (self.learner,))
        return {"loss": loss.item()}

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (2, 1))


class Undivided(Regression):
    """The same in whole batches, of the points that two shards draw."""

    def points(self, shard: Shard) -> torch.Tensor:
        seed = shard.generator.initial_seed()
        other = Shard(torch.Generator().manual_seed(seed + SHARD_SEED_STRIDE))
        return torch.cat([super().points(shard), super().points(other)])


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


def test_micro_batches_make_the_steps_of_the_undivided_batch(options: RunOptions, tmp_path: Path) -> None:
    divided, whole = Regression(batch=4), Undivided(batch=4)
    (line,) = train(divided, replace(options, folder=tmp_path / "divided", log_every=5, accumulate=2))
    (expected,) = train(whole, replace(options, folder=tmp_path / "whole", log_every=5))
    assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    for name, part in divided.parts.items():
        for key, tensor in part.state_dict().items():
            torch.testing.assert_close(tensor, whole.parts[name].state_dict()[key], msg=key)


def test_shards_draw_apart() -> None:
    draws = {
        tuple(torch.randn(2, generator=shard_generator(seed, step, shard)).tolist())
        for seed in range(2)
        for step in range(20)
        for shard in range(20)
    }
    assert len(draws) == 2 * 20 * 20


def test_diverged_run_stops_and_keeps_its_last_checkpoint(options: RunOptions) -> None:
    class Diverging(Walk):
        def step(self, step: int, shard: Shard) -> Step:
            metrics = yield from super().step(step, shard)
            return {**metrics, "loss": math.nan if step == 12 else 0.0}

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


@pytest.mark.parametrize(("device", "kind"), [("cuda:1", nn.SyncBatchNorm), ("cpu", nn.BatchNorm2d)])
def test_batch_norms_of_several_gpus_are_synchronised(device: str, kind: type[nn.Module]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    average = moving_average(network, 0.9)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimized = list(network.parameters())
    distributed = SimpleNamespace(device=device, world_size=2)
    convert_sync_batch_norms([network, average], distributed)  # type: ignore[arg-type]  # all that is asked of it
    assert type(network[1]) is kind
    assert [type(module) for module in average.module.children()] == [nn.Conv2d, nn.BatchNorm2d]
    torch.testing.assert_close(dict(network.state_dict()), before)
    assert all(new is old for new, old in zip(network.parameters(), optimized, strict=True))
