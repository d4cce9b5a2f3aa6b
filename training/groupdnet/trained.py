"""A trained pack of GroupDNet: its networks, read from the pack's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.config.weights import load_weights
from training.groupdnet.codes.expectation import CodeExpectation, RelativeGroupDNet
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.config import StylesConfig
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.groupdnet.sources import trained_label_segmenter
from training.groupdnet.stage import EXPECTATION, NETWORK, PRIOR
from training.networks.unet import UNet


@dataclass(frozen=True, slots=True)
class TrainedStyles:
    """A trained pack; `label_reader` reads label maps off images, and is None where it is not trained."""

    config: StylesConfig
    network: RelativeGroupDNet
    prior: StylePrior
    label_reader: UNet | None = None

    def codes(self, pairs: ImagePairs, chosen: Tensor) -> Tensor:
        """Mean codes of samples."""
        images, maps = pairs.batch(chosen, torch.device("cpu"))
        mean, _ = self.network.encode(images, maps)
        return mean

    def noise(self, count: int, seed: int) -> Tensor:
        """N(0, 1) for the prior, `[count, styles * code]`."""
        random = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.config.network.code_numbers, generator=random)


def load_styles(config: StylesConfig, folder: Path) -> TrainedStyles:
    """Read a trained pack.

    Raises:
        FileNotFoundError: if it has not been trained.
    """
    section = config.network
    network = load_weights(GroupDNet(section), folder, NETWORK)
    expectation = None
    if section.expectation != "none":
        expectation = load_weights(CodeExpectation(section), folder, EXPECTATION)
    prior = load_weights(StylePrior(section.styles, section.style_size), folder, PRIOR)
    reader = trained_label_segmenter(config, folder)
    return TrainedStyles(config, RelativeGroupDNet(network, expectation).eval(), prior, reader)
