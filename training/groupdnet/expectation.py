"""What a label map leads one to expect of the codes, and codes told as departures from it (ours).

A head turned to the side is shaded and textured otherwise than one seen from the front, and codes of both
hold that, although a map shows it as well. On a map they did not come from such codes gave mottled skin and
hair. So after training a linear map from label maps to codes is fitted, and what callers hold are codes less
what their own map led to expect; the decoder adds what the new map leads to expect. A picture's own codes on
its own map are not changed by that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.groupdnet.config import NetworkSection
from training.groupdnet.network import GroupDNet
from training.groupdnet.samples import PicturePairs

BATCH = 64
CELLS = 8
"""Cells per side in which a map's classes are counted."""
RIDGE = 0.003
"""Pull of the linear map's weights towards zero, for each sample."""


def map_features(maps: Tensor) -> Tensor:
    """What the expectation knows of maps `[B, classes, H, W]`, one-hot: float `[B, F]`.

    Each class's share of each cell, whether it is there at all, and a one.
    """
    shares = F.adaptive_avg_pool2d(maps, CELLS).flatten(1)
    there = maps.amax((2, 3))
    return torch.cat([shares, there, torch.ones_like(there[:, :1])], 1)


class CodeExpectation(nn.Module):
    """Label maps to the codes to be expected of their pictures; zero until it is fitted.

    Args:
        config: of the network.
    """

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        self.styles = config.styles
        features = config.classes * config.map_planes * (CELLS**2 + 1) + 1
        self.register_buffer("weight", torch.zeros(features, config.code_numbers))

    def forward(self, maps: Tensor) -> Tensor:
        """Codes `[B, styles, numbers]` of one-hot maps `[B, classes, H, W]`."""
        codes: Tensor = (map_features(maps) @ self.get_buffer("weight")).unflatten(1, (self.styles, -1))
        return codes


class RelativeGroupDNet(nn.Module):
    """GroupDNet whose codes are departures from what their map leads to expect, flat: `[B, styles, numbers]`.

    Args:
        network: trained.
        expectation: fitted to its codes.
        config: of the network.
    """

    def __init__(self, network: GroupDNet, expectation: CodeExpectation, config: NetworkSection) -> None:
        super().__init__()
        self.network, self.expectation = network, expectation
        self.cells = () if config.code_side == 1 else (config.code_side, config.code_side)

    def style_maps(self, maps: Tensor) -> Tensor:
        """See `GroupDNet.style_maps`."""
        return self.network.style_maps(maps)

    def encode(self, pictures: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes of pictures `[B, 3, H, W]` with maps `[B, classes, H, W]`."""
        mean, log_variance = self.network.encode(pictures, maps)
        return mean.flatten(2) - self.expectation(maps), log_variance.flatten(2)

    def forward(self, codes: Tensor, maps: Tensor) -> Tensor:
        """Pictures `[B, 3, H, W]` in [-1, 1]."""
        whole: Tensor = codes + self.expectation(maps)
        pictures: Tensor = self.network(whole.unflatten(2, (-1, *self.cells)) if self.cells else whole, maps)
        return pictures


@torch.no_grad()
def fit_expectation(network: GroupDNet, pairs: PicturePairs, config: NetworkSection) -> CodeExpectation:
    """Ridge regression of the mean codes of all samples on their maps' features."""
    expectation = CodeExpectation(config)
    weight = expectation.get_buffer("weight")
    device = next(network.parameters()).device
    # In double precision: shares of neighbouring cells are nearly dependent.
    squares = torch.zeros(len(weight), len(weight), dtype=torch.float64)
    products = torch.zeros(weight.shape, dtype=torch.float64)
    for chosen in torch.arange(len(pairs)).split(BATCH):
        pictures, maps = pairs.batch(chosen, device)
        features = map_features(maps).double().cpu()
        codes = network.encode(pictures, maps)[0].flatten(1).double().cpu()
        squares += features.T @ features
        products += features.T @ codes
    ridge = RIDGE * len(pairs) * torch.eye(len(weight), dtype=torch.float64)
    ridge[-1, -1] = 1e-6 * len(pairs)  # the mean is no departure from anything
    weight.copy_(torch.linalg.solve(squares + ridge, products))
    return expectation.to(device)
