"""Low-rank copies of trained networks: every spatial convolution narrowed to what its outputs vary in.

A convolution k x k from I to O channels becomes one from I to r channels, and one of 1x1 from r to O. The two
are fitted in closed form, one convolution after the other in the order they run: what the copy's convolution
makes of the copy's own inputs is mapped onto what the teacher's puts out, by the best linear map of rank r.
So each also mends what those before it have lost (Zhang et al., "Accelerating Very Deep Convolutional
Networks for Classification and Detection", TPAMI 2016). r is the smallest number, in eights, that holds a
share of the variance, the *energy*. What error is left is for training to mend.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

STEP = 8
"""Ranks are multiples of it, as vector units like them."""
RIDGE = 1e-5
"""Of the mean variance, so that outputs that hardly vary make no large weights."""
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


class PairedOutputs:
    """Means and covariances over cells of what a teacher's convolution and its copy's put out."""

    def __init__(self) -> None:
        self._count = 0
        self._sums = self._products = torch.zeros(())

    def add(self, teacher: Tensor, copied: Tensor) -> None:
        """Of a batch, each `[B, C, H, W]`."""
        cells = torch.cat([_cells(teacher), _cells(copied)], dim=1)
        self._count += len(cells)
        self._sums = self._sums + cells.sum(0)
        self._products = self._products + cells.T @ cells

    def fit(self) -> LinearFit:
        """The best linear map from the copy's outputs to the teacher's."""
        means = self._sums / self._count
        covariance = self._products / self._count - torch.outer(means, means)
        channels = len(means) // 2
        own = covariance[channels:, channels:]
        damping = RIDGE * own.diagonal().mean().clamp(min=1e-12)
        regularised = own + damping * torch.eye(channels, dtype=own.dtype)
        matrix = torch.linalg.solve(regularised, covariance[channels:, :channels]).T
        variances, directions = torch.linalg.eigh(matrix @ own @ matrix.T)
        return LinearFit(
            means[:channels], means[channels:], matrix, variances.flip(0).clamp(min=0), directions.flip(1)
        )


class LinearFit(NamedTuple):
    """A map `target + matrix (outputs - own)`, and its principal components; float64.

    Attributes:
        target: mean of the teacher's outputs, `[C]`.
        own: mean of the copy's, `[C]`.
        matrix: `[C, C]`.
        variances: of what it maps to, `[C]`, largest first.
        directions: theirs, `[C, C]`, a column each.
    """

    target: Tensor
    own: Tensor
    matrix: Tensor
    variances: Tensor
    directions: Tensor


def low_rank_copy(network: Network, run: Callable[[Network], object], energy: float) -> Network:
    """A copy of a trained network in low rank, wherever that takes fewer products.

    Args:
        network: in evaluation mode, batch norms folded in (`training.networks.unet.frozen`).
        run: runs a network on real inputs, on the same ones each time; outputs of all convolutions are held.
        energy: share of each convolution's variance to be held, in (0, 1].
    """
    wanted: dict[str, list[Tensor]] = {name: [] for name in spatial_convolutions(network)}
    order: list[str] = []
    with _noting(network, wanted, order):
        run(network)
    copied = copy.deepcopy(network)
    for name in order:
        found: dict[str, list[Tensor]] = {name: []}
        with _noting(copied, found):
            run(copied)
        outputs = PairedOutputs()
        for teacher, own in zip(wanted[name], found[name], strict=True):
            outputs.add(teacher, own)
        _replace(copied, name, outputs.fit(), energy)
    return copied.requires_grad_(True)


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


def _cells(outputs: Tensor) -> Tensor:
    """`[B, C, H, W]` to `[B*H*W, C]`, float64 on the CPU."""
    return outputs.movedim(1, -1).reshape(-1, outputs.shape[1]).cpu().double()


@contextmanager
def _noting(
    network: nn.Module, outputs: dict[str, list[Tensor]], order: list[str] | None = None
) -> Iterator[None]:
    """Keep what the convolutions of those names put out, and in which order they run first."""

    def note(name: str, module: nn.Module, given: object, output: Tensor) -> None:
        del module, given
        outputs[name].append(output.detach())
        if order is not None and name not in order:
            order.append(name)

    hooks = [_convolution(network, name).register_forward_hook(partial(note, name)) for name in outputs]
    with torch.no_grad():
        yield
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def _replace(network: nn.Module, name: str, fit: LinearFit, energy: float) -> None:
    """Put the fitted convolution, of a low rank if that is cheaper, in the place of one."""
    like = _convolution(network, name)
    weight, target, own = like.weight, fit.target.to(like.weight), fit.own.to(like.weight)
    matrix, rank = fit.matrix.to(weight), rank_for(fit.variances, energy)
    bias = torch.zeros_like(own) if like.bias is None else like.bias
    if not is_cheaper(like, rank):
        like.weight.copy_(torch.einsum("po,oikl->pikl", matrix, weight))
        if like.bias is not None:
            like.bias.copy_(target + matrix @ (bias - own))
        return
    directions = fit.directions[:, :rank].to(weight)
    narrow = directions.T @ matrix
    fitted = LowRankConv(like, rank).to(weight.device)
    fitted.narrow.weight.copy_(torch.einsum("ro,oikl->rikl", narrow, weight))
    fitted.spread.weight.copy_(directions[:, :, None, None])
    assert fitted.spread.bias is not None
    fitted.spread.bias.copy_(target + directions @ (narrow @ (bias - own)))
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, fitted)
