"""The label reader: reads label maps off images, for callers who have no map to start from.

The network is the label segmenter that a pack's training asks; the judge, which measures the packs, is never
served. A pack whose segmenter is not trained has no such stage.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.stages import LABEL_MAP, READS_LABELS, Stage, TensorSpec, below, from_image
from training.config.sections import PackSection
from training.groupdnet.config import StylesPackSection


class LabelReader(nn.Module):
    """Image, uint8 and channels last, to its label map, uint8.

    Args:
        network: images `[B, 3, H, W]` in [-1, 1] to logits `[B, classes, H, W]`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See `Stage`."""
        logits: Tensor = self.network(from_image(image))
        return logits.argmax(1).to(torch.uint8)


def label_reader_stage(
    pack: PackSection | StylesPackSection, network: nn.Module, given_image: TensorSpec, classes: int
) -> Stage:
    """The stage that reads label maps off images.

    Args:
        pack: whose it is; the gateway is told so.
        network: see `LabelReader`; its weights are ones that half precision holds exactly.
        given_image: the tensor that it takes.
        classes: of the label maps.
    """
    height, width, _ = given_image.shape
    return Stage(
        f"{pack.name}_label_reader",
        LabelReader(network),
        (given_image,),
        (TensorSpec(LABEL_MAP, torch.uint8, (height, width), below(classes)),),
        cached=True,
        halved=True,
        parameters=reading_parameters(pack),
    )


def reading_parameters(pack: PackSection | StylesPackSection) -> dict[str, str]:
    """What the gateway is told of a model that reads label maps: whose, and of which version."""
    return {READS_LABELS: pack.name, "model_version": pack.version}
