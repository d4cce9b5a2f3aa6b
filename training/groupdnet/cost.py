"""What a pack of GroupDNet takes, in bytes and operations, in training and for an image.

Counted on fake tensors by the very code that trains, see `training.runs.cost_account`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from training.config.sections import ClassifierSection
from training.groupdnet.batch_norm_recalibration import KINDS
from training.groupdnet.codes.encoding import CHUNK
from training.groupdnet.config import StylesConfig
from training.groupdnet.loops.judge import PairJudgeTrainer
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.judge import Judge
from training.networks.unet import UNet, frozen
from training.runs.cost_account import Cost, cost_of
from training.runs.updates import Precision, Shard

BUDGET = 2 << 30
"""Bytes that chunks of images may take where nothing says how many there are."""
SHARE = 0.7
"""Of a GPU's free memory that chunks may take; libraries and fragments take some, too."""
CPU = torch.device("cpu")
DEFAULT_JUDGE = (64, 96, 128, 128)
"""Widths of the label segmenter that a SIS-UG pack brings, for the account."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """Of one step of the training on one device.

    Attributes:
        images: of the batch, that this device works on.
        parameters: numbers of encoder, decoder and discriminator.
        cost: of all that is held and done.
    """

    images: int
    parameters: int
    cost: Cost


def step_cost(config: StylesConfig, precision: Precision = "32", accumulate: int = 1) -> StepCost:
    """The cost of a step, of a configuration whose batch is that of one of `accumulate` micro-batches.

    Args:
        config: the pack's, divided as `training.config.batches.split_batches` does.
        precision: what networks run in; "auto" counts as "32".
        accumulate: micro-batches that a device works on, one after the other.
    """
    told: list[int] = []
    training = config.needed_training

    def step() -> object:
        pairs = _blank_pairs(config, training.batch)
        widths = training.judge.widths if training.judge else DEFAULT_JUDGE
        judge = frozen(UNet(3, config.network.classes, widths, unfold=True))
        trainer = StylesTrainer(config, judge, pairs, CPU)
        parameters = [*trainer.network.parameters(), *trainer.discriminator.parameters()]
        told.append(sum(parameter.numel() for parameter in parameters))
        moments = [torch.zeros_like(parameter) for parameter in parameters for _ in range(2)]  # Adam's
        shards = [trainer.step(0, Shard(torch.Generator(), _exact(precision))) for _ in range(accumulate)]
        for _phase in ("discriminator", "network"):
            for shard in shards:
                next(shard).loss.backward()
        return trainer, moments

    cost = cost_of(step)
    return StepCost(training.batch * accumulate, told[0], cost)


def segmenter_cost(config: StylesConfig, precision: Precision = "32", accumulate: int = 1) -> StepCost | None:
    """The cost of a step of the label segmenter that a pack with folders trains first; None without one.

    Args:
        config: as for `step_cost`; so are the others.
        precision: of the run.
        accumulate: micro-batches of a device.
    """
    section = config.needed_training.judge
    if section is None:
        return None
    widths = section.widths
    return _classifier_cost(
        config,
        section,
        lambda: UNet(3, config.network.classes, widths, unfold=True),
        PairSegmenterTrainer,
        precision,
        accumulate,
    )


def judge_cost(config: StylesConfig, precision: Precision = "32", accumulate: int = 1) -> StepCost:
    """The cost of a step of the judge of a pack with folders.

    Args:
        config: of a pack that has one; as for `step_cost`, and so are the others.
        precision: of the run.
        accumulate: micro-batches of a device.
    """
    section = config.judge
    assert section is not None  # as the caller has checked
    width = section.width
    return _classifier_cost(
        config, section, lambda: Judge(config.network.classes, width), PairJudgeTrainer, precision, accumulate
    )


def _classifier_cost(
    config: StylesConfig,
    section: ClassifierSection,
    make: Callable[[], nn.Module],
    trains: type[PairSegmenterTrainer],
    precision: Precision,
    accumulate: int,
) -> StepCost:
    told: list[int] = []

    def step() -> object:
        network = make()
        pairs = _blank_pairs(config, section.batch)
        trainer = trains(network, section, pairs, config.palette, CPU)
        parameters = list(network.parameters())
        told.append(sum(parameter.numel() for parameter in parameters))
        moments = [torch.zeros_like(parameter) for parameter in parameters for _ in range(2)]  # Adam's
        shards = [trainer.step(0, Shard(torch.Generator(), _exact(precision))) for _ in range(accumulate)]
        for shard in shards:
            next(shard).loss.backward()
        return trainer, moments, shards

    cost = cost_of(step)
    return StepCost(section.batch * accumulate, told[0], cost)


def _blank_pairs(config: StylesConfig, count: int) -> ImagePairs:
    height, width = config.network.image_size
    return ImagePairs(
        torch.zeros(count, 3, height, width, dtype=torch.uint8),
        torch.zeros(count, height, width, dtype=torch.uint8),
        config.network.classes,
    )


def _exact(precision: Precision) -> Precision:
    return "32" if precision == "auto" else precision


@lru_cache(maxsize=8)
def image_bytes(config: NetworkSection, *, encodes: bool = True, decodes: int = 1) -> int:
    """Most bytes that an image takes on its way through the networks, without gradients.

    Args:
        config: of the network.
        encodes: whether it is encoded.
        decodes: how many images are made of each.
    """
    weights: list[int] = []

    def run() -> object:
        network = GroupDNet(config).eval()
        weights.append(sum(tensor.nbytes for tensor in network.state_dict().values()))
        maps = torch.zeros(1, config.classes, *config.image_size)
        codes = torch.zeros(1, config.styles, config.style_size)
        with torch.no_grad():
            if encodes:
                codes = network.encode(torch.zeros(1, 3, *config.image_size), maps)[0]
            made = network(torch.cat([codes] * decodes), torch.cat([maps] * decodes)) if decodes else None
        return network, codes, made

    return max(1, cost_of(run).peak_bytes - weights[0])


def fitting_chunk(config: NetworkSection, device: torch.device, *, decodes: int = 0) -> int:
    """How many images to take through the networks at once, from 1 to 64: as many as fit into memory.

    On the CPU the same anywhere, so that its results are; on a GPU by what is free.

    Args:
        config: of the network.
        device: where.
        decodes: as for `image_bytes`.
    """
    budget = BUDGET
    if device.type == "cuda":
        budget = int(SHARE * torch.cuda.mem_get_info(device)[0])
    return max(1, min(CHUNK, budget // image_bytes(config, decodes=decodes)))


def recalibration_chunk(config: NetworkSection, device: torch.device) -> int:
    """The same for `recalibrate_batch_norms`, which makes several images of each."""
    return fitting_chunk(config, device, decodes=KINDS)
