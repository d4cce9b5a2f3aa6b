"""Any trainer makes the same step of one undivided batch and of two shards that hold the same.

Two shards with the same draws are, for the mean of gradients and of running statistics, what one of them is
alone. So whatever differs is a fault of dividing: statistics that are counted twice, or overwritten while a
backward pass still needs them, or a loss that is a sum.
"""

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.tiny_groupdnet import tiny
from tests.support.tiny_pack import tiny_styles_config
from training.config.sections import ClassifierSection
from training.groupdnet.config import StylesConfig
from training.groupdnet.loops.judge import PairJudgeTrainer
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.samples import ImagePairs
from training.networks.judge import Judge
from training.networks.unet import UNet, frozen
from training.runs.distributed import single_process
from training.runs.loop import Trainer, train
from training.runs.options import RunOptions
from training.runs.updates import Metrics, Shard, run_step, shard_generator
from training.sis_ug import stages
from training.sis_ug.config import PackConfig
from training.sis_ug.few_shot.segmenter import FewShotTrainer
from training.sis_ug.few_shot.views import Views
from training.sis_ug.students import stage as students

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STEPS = 2
CPU = torch.device("cpu")


def run(trainer: Trainer, shards: int) -> Metrics:
    """So many shards with the same draws."""
    networks = [part for part in trainer.parts.values() if isinstance(part, nn.Module)]
    for step in range(STEPS):
        drawn = [Shard(shard_generator(0, step, 0), "32") for _ in range(shards)]
        metrics = run_step([trainer.step(step, shard) for shard in drawn], networks, single_process())
    return metrics


def assert_dividing_changes_nothing(trainer: Trainer) -> None:
    before = {name: copy.deepcopy(part.state_dict()) for name, part in trainer.parts.items()}
    found, states = [], []
    for shards in (1, 2):
        for name, part in trainer.parts.items():
            part.load_state_dict(copy.deepcopy(before[name]))
        found.append(run(trainer, shards))
        states.append({name: copy.deepcopy(part.state_dict()) for name, part in trainer.parts.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-5)
    moved = 0
    for name, state in states[0].items():
        if "param_groups" in state:
            continue
        for key, tensor in state.items():
            torch.testing.assert_close(
                states[1][name][key], tensor, rtol=1e-3, atol=1e-5, msg=f"{trainer.name}: {name}, {key}"
            )
            moved += not torch.equal(tensor, before[name][key])
    assert moved > 10, trainer.name


STAGES = {
    "proxies": ["proxy_segmenter"],
    "rearranger": ["rearranger"],
    "mapper": ["label_segmenter", "mapper", "cycle"],
    "sketch": ["sketch_reader"],
    "scribble": ["scribble_completer"],
    "inversion": ["inverter"],
    "judge": ["judge"],
    "students": ["student_reader", "student_mapper", "student_rearranger", "cycle"],
}


@pytest.mark.parametrize("stage", stages.STAGES)
def test_sis_ug(
    stage: str, config: PackConfig, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def check_first(trainer: Trainer, options: RunOptions) -> list[Metrics]:
        seen.append(trainer.name)
        assert_dividing_changes_nothing(trainer)
        return train(trainer, options)  # nothing is left to do, and what follows finds its checkpoint

    own = tmp_path / "own"  # what is stored once more, others read
    shutil.copytree(trained, own)
    monkeypatch.chdir(own)
    monkeypatch.setattr(stages, "train", check_first)
    monkeypatch.setattr(students, "train", check_first)
    options = RunOptions(own / "runs", show_progress=False)
    stages.STAGES[stage](config, own / "pack", options)
    assert seen == STAGES[stage]


def pairs() -> ImagePairs:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 32, 32), generator=random).byte()
    labels = torch.randint(0, 4, (6, 4, 4), generator=random).byte()
    return ImagePairs(images, labels.repeat_interleave(8, 1).repeat_interleave(8, 2), 4)


def styles_trainer() -> StylesTrainer:
    config = tiny_styles_config()
    palette = replace_classes(config, 4)
    network = tiny(spectral=True)
    config = config.model_copy(update={"network": network, "palette": palette})
    torch.manual_seed(0)
    return StylesTrainer(config, frozen(UNet(3, 4, (8, 12), unfold=True)), pairs(), CPU)


def replace_classes(config: StylesConfig, count: int) -> object:
    return config.palette.model_copy(update={"classes": config.palette.classes[:count]})


SECTION = ClassifierSection(steps=4, batch=4, learning_rate=1e-3)


def segmenter_trainer() -> PairSegmenterTrainer:
    torch.manual_seed(0)
    network = UNet(3, 4, (8, 12), unfold=True)
    return PairSegmenterTrainer(network, SECTION, pairs(), tiny_styles_config().palette, CPU)


def judge_trainer() -> PairJudgeTrainer:
    torch.manual_seed(0)
    return PairJudgeTrainer(Judge(4, 8), SECTION, pairs(), tiny_styles_config().palette, CPU)


@pytest.mark.parametrize("make", [styles_trainer, segmenter_trainer, judge_trainer])
def test_groupdnet(make: Callable[[], Trainer]) -> None:
    assert_dividing_changes_nothing(make())


def test_few_shot(config: PackConfig) -> None:
    random, side = torch.Generator().manual_seed(0), config.proxies.resolution
    cells = torch.rand(6, 4, side, side, generator=random)
    images = torch.rand(6, 3, side * config.fold, side * config.fold, generator=random)
    labels = torch.randint(0, 3, (6, *images.shape[2:]), generator=random).byte()
    torch.manual_seed(0)
    assert_dividing_changes_nothing(FewShotTrainer(config, Views(cells, cells, images), labels, CPU))


ABSTRACT = {"runs/loop.py: Trainer", "runs/classifier.py: ClassifierTrainer"}
TESTED = {
    *(f"sis_ug/loops/{name}.py" for name in ("proxy_segmenter", "rearranger", "label_segmenter", "mapper")),
    *(f"sis_ug/loops/{name}.py" for name in ("cycle", "sketch", "scribble", "inversion", "judge")),
    *(f"sis_ug/students/loops/{name}.py" for name in ("trainer", "reader", "mapper", "rearranger")),
    *(f"groupdnet/loops/{name}.py" for name in ("judge", "label_segmenter", "styles")),
    "sis_ug/few_shot/segmenter.py",
}


def test_every_trainer_is_tested() -> None:
    training = Path(stages.__file__).parents[1]
    found = {
        f"{path.relative_to(training)}: {name}"
        for path in training.rglob("*.py")
        for name in re.findall(r"(?m)^class (\w*Trainer)\b", path.read_text())
    }
    assert found >= ABSTRACT
    assert {each.partition(":")[0] for each in found - ABSTRACT} == TESTED
