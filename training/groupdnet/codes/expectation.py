"""What a label map leads one to expect of the codes, and codes told as departures from it (ours).

A head turned to the side is shaded and textured otherwise than one seen from the front, and codes of both
hold that, although a map shows it as well. On a map they did not come from such codes gave mottled skin and
hair. So after training a linear map from label maps to codes is fitted, and what callers hold are codes less
what their own map led to expect; the decoder adds what the new map leads to expect. An image's own codes on
its own map are not changed by that.

A style's expectation sees the region of that style alone, its place, size and outline. Told the whole map, it
also moved with every change to other parts: new hair gave another skin (`network.expectation` still can have
it so). And larger hair is to have the same colour: maps of the training images are edited by rule, and the
fit is penalised for what such an edit changes. So the expectation tells what a head's turn looks like and not
what a caller's brush did.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from training.groupdnet.codes.encoding import Pass
from training.groupdnet.codes.map_edits import grown, removed
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.one_hot import one_hot

CELLS = 8
"""Cells per side in which a map's regions are counted."""
RIDGE = 0.003
"""Pull of the linear map's weights towards zero, for each sample."""
FREE = 1e-6
"""The same for the constant: a mean is no departure from anything."""
EDIT_PENALTY = 4.0
"""Weight of a code's squared change by an edit of its map against its squared error on an image."""
EDITED_MAPS = 250
EDITED_SIDE = 64
"""Rows that maps are edited at, at most: regions are counted in coarse cells."""
GROWTHS = (2 / 64, 8 / 64)
"""Of an image's height: how far regions grow, from and to."""
PLACES = 5
"""Numbers that tell a region's place and size."""


def map_features(maps: Tensor) -> Tensor:
    """What the expectation by the whole map knows of one-hot maps `[B, classes, H, W]`: float `[B, F]`.

    Each class's share of each cell, whether it is there at all, and a one.
    """
    shares = F.adaptive_avg_pool2d(maps, CELLS).flatten(1)
    there = maps.amax((2, 3))
    return torch.cat([shares, there, torch.ones_like(there[:, :1])], 1)


def region_features(regions: Tensor) -> Tensor:
    """What the expectation by regions knows of each, one-hot `[B, styles, H, W]`: float `[B, styles, F]`.

    The region's share of each cell; root of its area; its centre and its extent about it, each down and
    across (0 to 1 of an image's side); whether it is there at all; and a one. All but the last are 0 where
    it is not.
    """
    shares = F.adaptive_avg_pool2d(regions, CELLS)
    cells = (torch.arange(CELLS, dtype=shares.dtype, device=shares.device) + 0.5) / CELLS
    there = regions.amax((2, 3))
    area = shares.mean((2, 3))
    found = [area.clamp(min=1e-12).sqrt() * there]
    for along in (shares.sum(3), shares.sum(2)):
        weights = along / along.sum(2, keepdim=True).clamp(min=1e-6)
        centre = (weights * cells).sum(2)
        spread = (weights * cells.square()).sum(2) - centre.square()
        found += [centre, spread.clamp(min=1e-12).sqrt() * there]
    places = torch.stack([*found, there, torch.ones_like(there)], 2)
    return torch.cat([shares.flatten(2), places], 2)


class CodeExpectation(nn.Module):
    """Label maps to the codes to be expected of their images; zero until it is fitted.

    Args:
        config: of the network.
    """

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        self.styles, self.whole_map = config.styles, config.expectation == "whole_map"
        features = config.classes * (CELLS**2 + 1) + 1 if self.whole_map else CELLS**2 + PLACES + 2
        shape = (
            (features, config.code_numbers)
            if self.whole_map
            else (config.styles, features, config.style_size)
        )
        self.register_buffer("weight", torch.zeros(shape))

    def forward(self, maps: Tensor, regions: Tensor) -> Tensor:
        """Codes `[B, styles, style_size]`.

        Args:
            maps: one-hot `[B, classes, H, W]`.
            regions: the same by style, one-hot `[B, styles, H, W]`.
        """
        weight = self.get_buffer("weight")
        if self.whole_map:
            codes: Tensor = (map_features(maps) @ weight).unflatten(1, (self.styles, -1))
            return codes
        # A product for each style, batches along its rows.
        by_style: Tensor = region_features(regions).transpose(0, 1) @ weight
        return by_style.transpose(0, 1)


class RelativeGroupDNet(nn.Module):
    """GroupDNet whose codes are departures from what their map leads to expect.

    Args:
        network: trained.
        expectation: fitted to its codes; None: codes are as the network has them.
    """

    def __init__(self, network: GroupDNet, expectation: CodeExpectation | None) -> None:
        super().__init__()
        self.network, self.expectation = network, expectation

    def style_maps(self, maps: Tensor) -> Tensor:
        """See `GroupDNet.style_maps`."""
        return self.network.style_maps(maps)

    def encode(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes of images `[B, 3, H, W]` with maps `[B, classes, H, W]`."""
        mean, log_variance = self.network.encode(images, maps)
        if self.expectation is not None:
            mean = mean - self.expectation(maps, self.style_maps(maps))
        return mean, log_variance

    def forward(self, codes: Tensor, maps: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1]."""
        if self.expectation is not None:
            codes = codes + self.expectation(maps, self.style_maps(maps))
        images: Tensor = self.network(codes, maps)
        return images


def fit_expectation(
    network: GroupDNet,
    pairs: ImagePairs,
    config: NetworkSection,
    how: Pass | None = None,
    edit_penalty: float = EDIT_PENALTY,
) -> CodeExpectation:
    """Ridge regression of the mean codes of all samples on their maps' features.

    Sums over chunks are all that is kept of them, in double precision: shares of neighbouring cells are
    nearly dependent. The expectation's change by edits of the maps is penalised (`edit_penalty`).
    """
    how = how or Pass(device=next(network.parameters()).device)
    expectation = CodeExpectation(config)
    weight = expectation.get_buffer("weight")
    groups, size = (weight.shape[0], weight.shape[1]) if weight.dim() == 3 else (1, weight.shape[0])
    squares = torch.zeros(groups, size, size, dtype=torch.float64)
    products = torch.zeros(groups, size, weight.shape[-1], dtype=torch.float64)
    for codes, _, maps in how.codes(network, pairs, "fit expectation"):
        targets = codes.flatten(1)[None] if expectation.whole_map else codes.transpose(0, 1)
        columns = _columns(network, maps, whole_map=expectation.whole_map)
        squares += columns @ columns.transpose(1, 2)
        products += columns @ targets.double()
    if edit_penalty:
        squares += edit_penalty * len(pairs) * _edit_moments(network, pairs, config, how)
    ridge = RIDGE * len(pairs) * torch.eye(size, dtype=torch.float64)
    ridge[-1, -1] = FREE * len(pairs)
    weight.copy_(torch.linalg.solve(squares + ridge, products).reshape(weight.shape))
    return expectation.to(how.device)


def _columns(network: GroupDNet, maps: Tensor, *, whole_map: bool) -> Tensor:
    """Features of maps as the fit takes them: float64 `[groups, F, B]` on the CPU."""
    if whole_map:
        return map_features(maps)[None].double().cpu().transpose(1, 2)
    return region_features(network.style_maps(maps)).double().cpu().permute(1, 2, 0)


def _edit_moments(network: GroupDNet, pairs: ImagePairs, config: NetworkSection, how: Pass) -> Tensor:
    """Mean outer product of what an edit changes of the features, `[groups, F, F]`."""
    random, whole_map = np.random.default_rng(0), config.expectation == "whole_map"
    total, count = torch.zeros(()), 0
    for ids in tqdm(pairs.labels[:EDITED_MAPS], desc="edit maps", unit="map", disable=not how.show_progress):
        step = -(-len(ids) // EDITED_SIDE)
        labels = ids[::step, ::step].cpu().numpy()
        maps = one_hot(torch.from_numpy(labels)[None], config.classes).to(how.device)
        regions = network.style_maps(maps)[0].bool().cpu().numpy()
        edited = [
            change
            for region in regions
            if region.any()
            for change in (grown(labels, region, random.uniform(*GROWTHS)), removed(labels, region))
        ]
        after = one_hot(torch.from_numpy(np.stack(edited)), config.classes).to(how.device)
        before, columns = (_columns(network, each, whole_map=whole_map) for each in (maps, after))
        moves = columns - before
        total = total + moves @ moves.transpose(1, 2)
        count += len(edited)
    return total / max(1, count)
