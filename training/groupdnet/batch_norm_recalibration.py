"""Recalibrates batch norms: their statistics are measured anew, for the averaged weights and what is served.

Those gathered in training are of other weights than the averaged ones. What is served are above all codes on
maps they do not come from, so a third of what is measured are a neighbour's codes and a third mixtures: with
statistics of reconstructions alone, codes that suit the map badly gave glaring blotches. These codes are
taken as they are: with departures from the expectation in their place everything was read back worse.

Moments are summed over chunks of any size, so that they are those of all images together. Within a chunk,
layers see what the layers before them made of the chunk's own statistics; where chunks are small, a second
sweep sees what they make of the first one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from training.groupdnet.codes.encoding import Pass
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs

IMAGES = 3840
"""Drawn with repetition, thrice each: with its own codes, with another's, with a mixture of both."""
KINDS = 3
ENOUGH = 16
"""Images of a chunk whose own statistics are good enough for a single sweep."""


@torch.no_grad()
def recalibrate_batch_norms(
    network: GroupDNet, pairs: ImagePairs, how: Pass | None = None, count: int = IMAGES
) -> None:
    """Measure the batch norms' statistics anew.

    Args:
        network: with averaged weights; left in evaluation mode.
        pairs: training images.
        how: chunks and device.
        count: as `IMAGES`.
    """
    how = how or Pass(device=next(network.parameters()).device)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    network.eval()
    _sweep(network, norms, pairs, how, count, own_statistics=True)
    if how.chunk < ENOUGH:
        _sweep(network, norms, pairs, how, count, own_statistics=False)


def _sweep(
    network: GroupDNet,
    norms: list[nn.BatchNorm2d],
    pairs: ImagePairs,
    how: Pass,
    count: int,
    *,
    own_statistics: bool,
) -> None:
    moments = [Moments(norm) for norm in norms]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(pairs), (count,), generator=generator)
    before: Tensor | None = None
    with _noted(norms, moments, own_statistics=own_statistics):
        for part in how.over(chosen, "recalibrate batch norms"):
            images, maps = pairs.batch(part, how.device)
            own = network.encode(images, maps)[0]
            other = torch.cat([own[-1:] if before is None else before, own[:-1]])
            before = own[-1:]
            kept = torch.rand(own.shape[:2], generator=generator).to(how.device) < 0.5
            mixed = torch.where(kept[..., None], own, other)
            network(torch.cat([own, other, mixed]), torch.cat([maps] * KINDS))
    for norm, moment in zip(norms, moments, strict=True):
        moment.write(norm)


class Moments:
    """Count, sum and sum of squares of a batch norm's inputs, by channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        device = norm.get_buffer("running_mean").device
        self.count = 0
        self.sums = torch.zeros(2, norm.num_features, dtype=torch.float64, device=device)

    def note(self, features: Tensor) -> None:
        """Features `[B, channels, h, w]`."""
        self.count += features.numel() // features.shape[1]
        variance, mean = torch.var_mean(features.float(), (0, 2, 3), correction=0)
        mean, variance = mean.double(), variance.double()
        pixels = features.numel() // features.shape[1]
        self.sums += pixels * torch.stack([mean, variance + mean.square()])

    def write(self, norm: nn.BatchNorm2d) -> None:
        """Make them the norm's statistics."""
        mean, square = self.sums / self.count
        variance = (square - mean.square()).clamp(min=0) * self.count / max(1, self.count - 1)
        norm.get_buffer("running_mean").copy_(mean)
        norm.get_buffer("running_var").copy_(variance)


@contextmanager
def _noted(norms: list[nn.BatchNorm2d], moments: list[Moments], *, own_statistics: bool) -> Iterator[None]:
    """Every norm's inputs are noted; the norms use a chunk's own statistics or those that they have."""

    def note(moment: Moments, _norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moment.note(inputs[0])

    hooks = [
        norm.register_forward_pre_hook(partial(note, moment))
        for norm, moment in zip(norms, moments, strict=True)
    ]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.train(own_statistics)
        # With the chunk's own statistics, those that it keeps stay as they are.
        norm.track_running_stats = not own_statistics
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, before in zip(norms, tracked, strict=True):
            norm.track_running_stats = before
            norm.eval()
