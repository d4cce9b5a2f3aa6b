"""The account of a training's memory: what it counts on fake tensors is what real ones hold."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import maskweave_cli
import training.cli.train
from tests.support.docs_example import example_text, page
from tests.support.published_shapes import small_shape
from tests.support.tiny_groupdnet import quarters, tiny
from tests.support.tiny_pack import tiny_styles_config
from training.groupdnet.batch_norm_recalibration import KINDS
from training.groupdnet.codes.encoding import CHUNK
from training.groupdnet.config import StylesConfig, load_styles_config
from training.groupdnet.cost import (
    BUDGET,
    fitting_chunk,
    image_bytes,
    judge_cost,
    segmenter_cost,
    step_cost,
)
from training.groupdnet.loops.judge import PairJudgeTrainer
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.judge import Judge
from training.networks.unet import UNet, frozen
from training.runs.cost_account import LiveBytes, cost_of
from training.runs.updates import Shard
from training.sis_ug.sections import JudgeSection, SegmenterSection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CPU = torch.device("cpu")
GIB = 1 << 30


def test_bytes_and_operations_are_those_of_plain_arithmetic() -> None:
    def computation() -> object:
        images = torch.zeros(2, 3, 8, 8)
        layer = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        return layer, layer(images).sum()

    cost = cost_of(computation)
    images, weights, features = 2 * 3 * 64 * 4, 4 * 3 * 9 * 4, 2 * 4 * 64 * 4
    assert cost.peak_bytes == images + weights + features + 4
    assert cost.flops == 2 * (2 * 4 * 64) * (3 * 9)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_account_of_a_step_is_what_a_real_one_holds(accumulate: int) -> None:
    config = tiny_styles_config()
    told = step_cost(config, accumulate=accumulate)
    training, side = config.needed_training, config.network.image_side
    with LiveBytes() as live:
        pairs = ImagePairs(
            torch.zeros(training.batch, 3, side, side, dtype=torch.uint8),
            torch.zeros(training.batch, side, side, dtype=torch.uint8),
            8,
        )
        judge = frozen(UNet(3, 8, (64, 96, 128, 128), unfold=True))
        trainer = StylesTrainer(config, judge, pairs, CPU)
        learnt = [*trainer.network.parameters(), *trainer.discriminator.parameters()]
        moments = [torch.zeros_like(parameter) for parameter in learnt for _ in range(2)]
        shards = [trainer.step(0, Shard(torch.Generator(), "32")) for _ in range(accumulate)]
        for _ in range(2):
            for shard in shards:
                next(shard).loss.backward()
    assert len(moments) == 2 * len(learnt)
    assert told.images == training.batch * accumulate
    assert told.parameters == sum(parameter.numel() for parameter in learnt)
    # A real convolution's backward pass may copy its inputs for a while; fake ones do not.
    assert told.cost.peak_bytes == pytest.approx(live.peak, rel=0.05)


def test_chunks_are_as_large_as_memory_allows() -> None:
    small = tiny()
    assert fitting_chunk(small, CPU) == 64
    network, maps = GroupDNet(small).eval(), quarters(1)
    with torch.no_grad(), LiveBytes() as live:
        network(network.encode(torch.zeros(1, 3, 32, 32), maps)[0], maps)
    assert image_bytes(small) == pytest.approx(live.peak, rel=0.3)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_account_of_the_label_segmenter_is_what_a_real_step_holds(accumulate: int) -> None:
    assert segmenter_cost(tiny_styles_config()) is None  # another pack brings it
    section = SegmenterSection(widths=(16, 24, 32), steps=1, batch=4, learning_rate=1e-3)
    config = tiny_styles_config()
    training = config.needed_training.model_copy(update={"judge": section})
    config = config.model_copy(update={"training": training})
    told = segmenter_cost(config, accumulate=accumulate)
    assert told is not None
    with LiveBytes() as live:
        side = config.network.image_side
        pairs = ImagePairs(
            torch.zeros(4, 3, side, side, dtype=torch.uint8), torch.zeros(4, side, side, dtype=torch.uint8), 8
        )
        network = UNet(3, 8, section.widths, unfold=True)
        trainer = PairSegmenterTrainer(network, section, pairs, config.palette, CPU)
        moments = [torch.zeros_like(parameter) for parameter in network.parameters() for _ in range(2)]
        shards = [trainer.step(0, Shard(torch.Generator(), "32")) for _ in range(accumulate)]
        for shard in shards:
            next(shard).loss.backward()
    assert told.images == 4 * accumulate
    assert told.parameters == sum(moment.numel() for moment in moments) / 2
    assert told.cost.peak_bytes == pytest.approx(live.peak, rel=0.05)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_account_of_the_judge_is_what_a_real_step_holds(accumulate: int) -> None:
    section = JudgeSection(width=8, steps=1, batch=4, learning_rate=1e-3)
    config = tiny_styles_config().model_copy(update={"judge": section})
    told = judge_cost(config, accumulate=accumulate)
    with LiveBytes() as live:
        side = config.network.image_side
        pairs = ImagePairs(
            torch.zeros(4, 3, side, side, dtype=torch.uint8), torch.zeros(4, side, side, dtype=torch.uint8), 8
        )
        network = Judge(8, section.width)
        trainer = PairJudgeTrainer(network, section, pairs, config.palette, CPU)
        moments = [torch.zeros_like(parameter) for parameter in network.parameters() for _ in range(2)]
        for shard in [trainer.step(0, Shard(torch.Generator(), "32")) for _ in range(accumulate)]:
            next(shard).loss.backward()
    assert told.images == 4 * accumulate
    assert told.parameters == sum(moment.numel() for moment in moments) / 2
    # Fake group norms keep what real ones do not; never less is told than there is.
    assert live.peak <= told.cost.peak_bytes <= 1.25 * live.peak


@dataclass(frozen=True)
class Full:
    """What a published shape takes at full size, in GiB for a step of 4 images and MiB for an image."""

    step: tuple[float, float]
    image: tuple[float, float]


PUBLISHED = {
    "deepfashion": Full(step=(10, 20), image=(400, 800)),
    "cityscapes": Full(step=(30, 50), image=(1200, 2500)),
    "ade20k": Full(step=(12, 60), image=(500, 1200)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_are_accounted_for_at_full_size(name: str) -> None:
    values = load_styles_config("faces64_styles").model_dump()
    network = NetworkSection.model_validate({"preset": name})
    colors = [
        {"id": i, "name": f"class_{i}", "title": str(i), "color": f"#{i:06x}"} for i in range(network.classes)
    ]
    judge = {"widths": (64, 96, 128, 128), "steps": 1, "batch": 4, "learning_rate": 1e-3}
    values |= {
        "network": network.model_dump(),
        "palette": {"classes": colors},
        "data": {"images": "images", "label_maps": "maps"},
        "training": values["training"] | {"batch": 4, "judge": judge},
    }
    full, step = PUBLISHED[name], step_cost(StylesConfig.model_validate(values))
    assert full.step[0] < step.cost.peak_bytes / GIB < full.step[1]
    assert full.image[0] < image_bytes(network) / 2**20 < full.image[1]
    # What comes after the last step fits into 2 GiB beside the weights, whatever the batch.
    for decodes in (0, KINDS):
        chunk, each = fitting_chunk(network, CPU, decodes=decodes), image_bytes(network, decodes=decodes)
        assert chunk == 1 or chunk * each <= BUDGET
        assert chunk == CHUNK or (chunk + 1) * each > BUDGET
    assert fitting_chunk(small_shape(name), CPU) > fitting_chunk(network, CPU, decodes=KINDS)


def test_dry_run_tells_memory_and_time_and_trains_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training.cli.train, "load_styles_config", lambda name: tiny_styles_config())
    command = ["train", "styles", "--pack", "faces64_styles", "--dry-run", "--memory", "0.5"]
    result = CliRunner().invoke(maskweave_cli.main, command)
    assert result.exit_code == 0, result.output
    told = {line[:18].strip(): line[18:] for line in result.output.splitlines()}
    assert told["images"] == "64 x 64 px (height x width), 8 classes"
    assert told["codes"] == "7 styles of 4 numbers"
    assert told["batch"] == "4 on each device, worked on in 1 parts"
    memory, _, rest = told["memory a step"].partition(" ")
    assert 0.01 < float(memory) < 0.2
    assert rest == "GiB, in single precision"
    assert told["of 0.5 GiB"].startswith("a batch of up to ")
    assert "GFLOP/s (probed)" in told["time a step"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["rearranger", "--pack", "faces64", "--accumulate", "7"], "32 cannot be divided into 7 equal"),
        (["sketch", "--pack", "faces64_styles"], "is of the method 'groupdnet'"),
        (["styles", "--pack", "faces64_styles", "--accumulate", "3"], "64 cannot be divided into 3 equal"),
    ],
)
def test_dry_run_is_refused_in_one_line(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["train", *arguments, "--dry-run"])
    assert result.exit_code != 0
    assert complaint in result.output


def test_the_docs_example_of_thirty_classes_trains_on_24_gib() -> None:
    values = tomllib.loads(example_text())
    values["training"]["batch"] = 16  # as the page says it was asked
    config = StylesConfig.model_validate(values)
    assert config.network.image_size == (256, 256)
    step, first, judge = step_cost(config), segmenter_cost(config), judge_cost(config)
    assert first is not None
    for cost in (step, first, judge):
        assert cost.cost.peak_bytes < 0.85 * 24 * GIB
    # And it is what the page says.
    for told in (
        f"memory a step     {step.cost.peak_bytes / GIB:.2f} GiB, in single precision",
        f"work a step       {step.cost.flops / 1e12:.3f} TFLOP",
        f"a step of 48: {first.cost.peak_bytes / GIB:.2f} GiB",
    ):
        assert told in page()
