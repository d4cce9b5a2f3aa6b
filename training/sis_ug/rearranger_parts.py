"""The rearranger as it is served: cut by what each part depends on.

    source features, source proxy mask -> keys                  of the seed: kept with its features
    target proxy mask                  -> queries, additions    of the target: kept for one that comes again
    features, keys, queries, additions -> features at the cut   of both

A convolution over two tensors side by side is the sum of one over each. So what the first convolution of a
residual makes of the target's embedding, the *addition*, belongs to the target alone. The parts compute what
`Rearranger` does, but for the order of sums; weights are the same, and those of students of low rank, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.generators.base import FeaturePyramid, Generator
from training.sis_ug.networks.rearranger import CrossAttention, Rearranger, Residual
from training.sis_ug.students.low_rank import LowRankConv


@dataclass(frozen=True, slots=True)
class Target:
    """What a target proxy mask brings.

    Attributes:
        queries: of the attention, `[B, heads*head_dim, r, r]` by attended resolution.
        additions: to what the residuals' first convolutions make of features, `[B, C, r, r]` by resolution.
    """

    queries: FeaturePyramid
    additions: FeaturePyramid


class RearrangerParts(nn.Module):
    """A trained rearranger in parts.

    Args:
        whole: shares its weights with the parts, but for those of the convolutions that are cut in two.

    Attributes:
        attended: resolutions of features, keys and queries, coarse to fine.
        added: resolutions of additions.
    """

    def __init__(self, whole: Rearranger) -> None:
        super().__init__()
        self.whole = whole
        self.attended = tuple(level.resolution for level in whole.levels)
        self.added = tuple(int(r) for r in whole.residual)
        width = self._attention(self.attended[0]).query.in_channels
        self.entrance = nn.ModuleDict({str(r): _Entrance(self._residual(r).enter, width) for r in self.added})

    def keys(self, source: FeaturePyramid, source_mask: Tensor) -> FeaturePyramid:
        """What the attention looks for in a source, `[B, heads*head_dim, r, r]` by attended resolution.

        Args:
            source: features at the attended resolutions.
            source_mask: its proxy mask, one-hot float `[B, K, m, m]`.
        """
        offered = self.whole.embed_source(source_mask)
        return {r: self._attention(r).keys(self.whole.answering(source, offered, r)) for r in self.attended}

    def added_channels(self, resolution: int) -> int:
        """Channels of the addition at a resolution."""
        return self._entrance(resolution).addition.out_channels

    def target(self, target_mask: Tensor) -> Target:
        """What a target proxy mask, one-hot float `[B, K, m, m]`, brings."""
        asked = self.whole.embed_target(target_mask)
        return Target(
            {r: self._attention(r).queries(asked[r]) for r in self.attended},
            {r: self._entrance(r).addition(asked[r]) for r in self.added},
        )

    def forward(
        self,
        generator: Generator,
        source: FeaturePyramid,
        keys: FeaturePyramid,
        target: Target,
        styles: Tensor | None = None,
    ) -> FeaturePyramid:
        """What `Rearranger.forward` returns, of what the other parts have made."""
        attended = {r: self._attention(r).move(target.queries[r], keys[r], source[r]) for r in self.attended}

        def residual(features: Tensor, r: int) -> Tensor:
            return self._residual(r).after(self._entrance(r)(features, target.additions[r]))

        return self.whole.grow(generator, attended, residual, styles)

    def _attention(self, resolution: int) -> CrossAttention:
        module = self.whole.attention[str(resolution)]
        assert isinstance(module, CrossAttention)
        return module

    def _residual(self, resolution: int) -> Residual:
        module = self.whole.residual[str(resolution)]
        assert isinstance(module, Residual)
        return module

    def _entrance(self, resolution: int) -> _Entrance:
        module = self.entrance[str(resolution)]
        assert isinstance(module, _Entrance)
        return module


class _Entrance(nn.Module):
    """A residual's first convolution, over features and the target's embedding, as the sum of two.

    Args:
        whole: over both, the embedding last; of a low rank or not.
        width: channels of the embedding.
    """

    def __init__(self, whole: nn.Module, width: int) -> None:
        super().__init__()
        both = whole.narrow if isinstance(whole, LowRankConv) else whole
        assert isinstance(both, nn.Conv2d)
        self.of_features = _over(both, slice(None, -width), biased=False)
        self.addition = _over(both, slice(-width, None), biased=True)
        self.spread: nn.Module = whole.spread if isinstance(whole, LowRankConv) else nn.Identity()

    def forward(self, features: Tensor, addition: Tensor) -> Tensor:
        """What the whole makes of features and of the embedding that `addition` was made of."""
        entered: Tensor = self.spread(self.of_features(features) + addition)
        return entered


def _over(both: nn.Conv2d, channels: slice, *, biased: bool) -> nn.Conv2d:
    """A convolution over some of another's channels."""
    weight = both.weight[:, channels].detach().clone()
    kernel, stride, padding = both.kernel_size, both.stride, both.padding
    assert len(kernel) == len(stride) == 2
    assert not isinstance(padding, str)
    part = nn.Conv2d(
        weight.shape[1],
        len(weight),
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        (padding[0], padding[1]),
        bias=biased and both.bias is not None,
    )
    with torch.no_grad():
        part.weight.copy_(weight)
        if part.bias is not None and both.bias is not None:
            part.bias.copy_(both.bias)
    return part.to(weight).requires_grad_(False)
