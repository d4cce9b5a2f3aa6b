"""Low-rank copies of trained networks: every spatial convolution narrowed to what its outputs vary in.

A convolution k x k from I to O channels becomes one from I to r channels, and one of 1x1 from r to O. The r
directions are the principal components of what the convolution puts out on real inputs (Zhang et al.,
"Accelerating Very Deep Convolutional Networks for Classification and Detection", TPAMI 2016): the smallest
number of them, in eights, that holds a share of the variance, the *energy*. What is left of the error is for
training to mend.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

STEP = 8
"""Ranks are multiples of it, as vector units like them."""
NARROW = ".narrow.weight"
Network = TypeVar("Network", bound=nn.Module)


class LowRankConv(nn.Module):
    """A convolution `like` another, of a lower rank; not yet fitted.

    Args:
        like: what it stands for: square, without groups.
        rank: channels between the two.
    """

    def __init__(self, like: nn.Conv2d, rank: int) -> None:
        super().__init__()
        assert like.groups == 1
        assert not isinstance(like.padding, str)
        size, stride, padding = like.kernel_size[0], like.stride[0], like.padding[0]
        self.narrow = nn.Conv2d(like.in_channels, rank, size, stride, padding, bias=False)
        self.spread = nn.Conv2d(rank, like.out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        result: Tensor = self.spread(self.narrow(features))
        return result


class OutputStatistics:
    """Mean and covariance over cells of what a convolution puts out."""

    def __init__(self) -> None:
        self._count, self._sum, self._products = 0, torch.zeros(()), torch.zeros(())

    def add(self, outputs: Tensor) -> None:
        """Of a batch `[B, C, H, W]`."""
        cells = outputs.detach().movedim(1, -1).reshape(-1, outputs.shape[1]).cpu().double()
        self._count += len(cells)
        self._sum = self._sum + cells.sum(0)
        self._products = self._products + cells.T @ cells

    def mean(self) -> Tensor:
        """`[C]`, float64."""
        return self._sum / self._count

    def components(self) -> tuple[Tensor, Tensor]:
        """Variances `[C]`, largest first, and directions `[C, C]`, a column each; float64."""
        mean = self.mean()
        variances, directions = torch.linalg.eigh(self._products / self._count - torch.outer(mean, mean))
        return variances.flip(0).clamp(min=0), directions.flip(1)


def low_rank_copy(network: Network, run: Callable[[Network], object], energy: float) -> Network:
    """A copy of a trained network in low rank, wherever that takes fewer products.

    Args:
        network: in evaluation mode, batch norms folded in (`training.unet.frozen`).
        run: runs the network on real inputs.
        energy: share of each convolution's variance to be held, in (0, 1].
    """
    found: dict[str, OutputStatistics] = {}
    hooks = []
    for name, convolution in spatial_convolutions(network).items():
        found[name] = OutputStatistics()
        hooks.append(convolution.register_forward_hook(partial(_note, found[name])))
    with torch.no_grad():
        run(network)
    for hook in hooks:
        hook.remove()
    ranks = {name: rank_for(each.components()[0], energy) for name, each in found.items()}
    ranks = {name: rank for name, rank in ranks.items() if is_cheaper(_convolution(network, name), rank)}
    copied = with_ranks(network, ranks)
    with torch.no_grad():
        for name in ranks:
            fitted = copied.get_submodule(name)
            assert isinstance(fitted, LowRankConv)
            _fit(fitted, _convolution(network, name), found[name])
    return copied


def with_ranks(network: Network, ranks: Mapping[str, int]) -> Network:
    """A copy whose convolutions of those names are of those ranks, not yet fitted."""
    copied = copy.deepcopy(network)
    for name, rank in ranks.items():
        parent, _, attribute = name.rpartition(".")
        owner = copied.get_submodule(parent)
        setattr(owner, attribute, LowRankConv(_convolution(copied, name), rank))
    return copied.requires_grad_(True)


def ranks_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Which convolutions of a stored network are of a low rank, and of which."""
    return {key.removesuffix(NARROW): len(weight) for key, weight in state.items() if key.endswith(NARROW)}


def rank_for(variances: Tensor, energy: float) -> int:
    """The least multiple of `STEP` whose first components hold a share of the variance, or all."""
    held = variances.cumsum(0) / variances.sum().clamp(min=1e-30)
    least = int((held < energy).sum()) + 1
    return min(-(-least // STEP) * STEP, len(variances))


def is_cheaper(convolution: nn.Conv2d, rank: int) -> bool:
    """Whether a rank takes fewer products at each cell."""
    taps = convolution.kernel_size[0] * convolution.kernel_size[1]
    inputs, outputs = convolution.in_channels, convolution.out_channels
    return rank * (inputs * taps + outputs) < inputs * outputs * taps


def spatial_convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Convolutions that see more than their own cell, by name: those that can be of a low rank."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    }


def _convolution(network: nn.Module, name: str) -> nn.Conv2d:
    convolution = network.get_submodule(name)
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _note(statistics: OutputStatistics, module: nn.Module, given: object, outputs: Tensor) -> None:
    del module, given
    statistics.add(outputs)


def _fit(fitted: LowRankConv, like: nn.Conv2d, statistics: OutputStatistics) -> None:
    """Project outputs, about their mean, onto the first components."""
    rank = fitted.narrow.out_channels
    mean = statistics.mean().to(like.weight)
    directions = statistics.components()[1][:, :rank].to(like.weight)
    bias = torch.zeros_like(mean) if like.bias is None else like.bias
    fitted.narrow.weight.copy_(torch.einsum("oikl,or->rikl", like.weight, directions))
    fitted.spread.weight.copy_(directions[:, :, None, None])
    assert fitted.spread.bias is not None
    fitted.spread.bias.copy_(mean + directions @ (directions.T @ (bias - mean)))
