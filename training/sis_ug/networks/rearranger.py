"""The rearranger: moves a frozen generator's features so that they match a target proxy mask (SIS-UG).

    source features F, source proxy mask P_s, target proxy mask P_t  ->  features F' of the same shapes

Cross-attention at the coarse levels: the query comes from the target proxy mask, the key from the source's
features and proxy mask, the value is the source's features themselves, unprojected, so that what comes out is
woven of what went in. A convex mix of cells cannot shift by half a cell, so each level adds a small
convolutional residual that starts at zero. Above the attended levels the generator's own frozen blocks run
again, with such a residual at the cut.

Layers, heads and residuals are our design; the paper publishes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.generators.base import FeaturePyramid, Generator


@dataclass(frozen=True, slots=True)
class AttentionLevel:
    """Cross-attention at one resolution."""

    resolution: int
    heads: int
    head_dim: int


class MaskEmbedding(nn.Module):
    """Proxy mask `[B, K, m, m]` to embeddings `[B, width, r, r]` at m, m/2, m/4, ... `coarsest`."""

    def __init__(self, clusters: int, width: int, mask_resolution: int, coarsest: int) -> None:
        super().__init__()
        self.mask_resolution = mask_resolution
        self.stem = nn.Sequential(nn.Conv2d(clusters, width, 3, 1, 1), nn.LeakyReLU(0.2))
        steps = (mask_resolution // coarsest).bit_length() - 1
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1),
                nn.LeakyReLU(0.2),
            )
            for _ in range(steps)
        )

    def forward(self, mask: Tensor) -> dict[int, Tensor]:
        """Embeddings by resolution."""
        features = self.stem(mask)
        resolution = self.mask_resolution
        embeddings = {resolution: features}
        for down in self.down:
            features = down(features)
            resolution //= 2
            embeddings[resolution] = features
        return embeddings


class CrossAttention(nn.Module):
    """Multi-head attention over cells whose values are the features themselves.

    Shapes at resolution r, with N = r*r cells: query `[B, E, r, r]`, key input `[B, C+E, r, r]`, value `[B,
    C, r, r]` -> `[B, C, r, r]`. Each head moves its own slice of the channels; the last `skip_channels`, the
    image in the making, are moved by all heads alike, by the mean of their attention.
    """

    def __init__(self, level: AttentionLevel, channels: int, width: int, skip_channels: int = 0) -> None:
        super().__init__()
        self.heads, self.head_dim, self.skip_channels = level.heads, level.head_dim, skip_channels
        inner = level.heads * level.head_dim
        self.query = nn.Conv2d(width, inner, 1)
        self.key = nn.Conv2d(channels + width, inner, 1)
        # One positional code for both, equal at first: attention starts local.
        position = torch.randn(1, inner, level.resolution, level.resolution) * 0.5
        self.query_position = nn.Parameter(position.clone())
        self.key_position = nn.Parameter(position.clone())

    def forward(self, target: Tensor, source: Tensor, value: Tensor) -> Tensor:
        """Attend: `target` asks, `source` answers, `value` moves."""
        return self.move(self.queries(target), self.keys(source), value)

    def queries(self, target: Tensor) -> Tensor:
        """What the target's embedding asks, `[B, heads*head_dim, r, r]`."""
        asked: Tensor = self.query(target) + self.query_position
        return asked

    def keys(self, source: Tensor) -> Tensor:
        """What the source's features and embedding answer, `[B, heads*head_dim, r, r]`."""
        offered: Tensor = self.key(source) + self.key_position
        return offered

    def shares(self, queries: Tensor, keys: Tensor) -> Tensor:
        """How much of each target cell comes from where: `[B, N, N]`, target by source, means over heads."""
        query, key = self._split(queries), self._split(keys)
        found: Tensor = (query @ key.transpose(2, 3) / self.head_dim**0.5).softmax(3).mean(1)
        return found

    def move(self, queries: Tensor, keys: Tensor, value: Tensor) -> Tensor:
        """Move `value` to where `queries` and `keys` agree."""
        query, key = self._split(queries), self._split(keys)
        if not self.skip_channels:
            moved = F.scaled_dot_product_attention(query, key, self._split(value))
            return moved.transpose(2, 3).reshape(value.shape)
        own, shared = value[:, : -self.skip_channels], value[:, -self.skip_channels :]
        for_every_head = shared.flatten(2).transpose(1, 2)[:, None].expand(-1, self.heads, -1, -1)
        values = torch.cat([self._split(own), for_every_head], dim=3)
        moved = F.scaled_dot_product_attention(query, key, values)
        features, image = moved[..., : -self.skip_channels], moved[..., -self.skip_channels :].mean(1)
        return torch.cat(
            [
                features.transpose(2, 3).reshape(own.shape),
                image.transpose(1, 2).reshape(shared.shape),
            ],
            dim=1,
        )

    def _split(self, maps: Tensor) -> Tensor:
        """`[B, heads*d, r, r]` to `[B, heads, r*r, d]`, contiguous as the fused CPU kernel wants it."""
        batch, channels = maps.shape[:2]
        return maps.reshape(batch, self.heads, channels // self.heads, -1).transpose(2, 3).contiguous()


class Residual(nn.Module):
    """3x3 convolutions over features and the target mask's embedding; the last starts at zero."""

    def __init__(self, channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels + width, hidden, 3, 1, 1)
        self.middle = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.leave = nn.Conv2d(hidden, channels, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """What to add to `features` `[B, C, r, r]`, given `target` `[B, E, r, r]`."""
        return self.after(self.enter(torch.cat([features, target], dim=1)))

    def after(self, entered: Tensor) -> Tensor:
        """The same, of what the first convolution has made."""
        hidden = F.leaky_relu(self.middle(F.leaky_relu(entered, 0.2)), 0.2)
        added: Tensor = self.leave(hidden)
        return added


class Rearranger(nn.Module):
    """Rearranges a feature pyramid; see the module's text.

    Args:
        channels: channels of the generator's features by resolution.
        clusters: number of proxy clusters K.
        levels: the attended resolutions, coarse to fine, each twice the last; the coarsest is the generator
            head's first.
        cut: resolution whose features go to the generator's tail.
        mask_resolution: cells per side of the proxy masks.
        width: channels E of the mask embeddings.
        hidden: channels inside the residuals by resolution.
        skip_channels: how many of the channels, the last, are the image in the making.
    """

    def __init__(
        self,
        *,
        channels: dict[int, int],
        clusters: int,
        levels: tuple[AttentionLevel, ...],
        cut: int,
        mask_resolution: int,
        width: int,
        hidden: dict[int, int],
        skip_channels: int = 0,
    ) -> None:
        super().__init__()
        self.levels, self.cut = levels, cut
        self.embed_target = MaskEmbedding(clusters, width, mask_resolution, levels[0].resolution)
        self.embed_source = MaskEmbedding(clusters, width, mask_resolution, levels[0].resolution)
        self.attention = nn.ModuleDict(
            {
                str(level.resolution): CrossAttention(level, channels[level.resolution], width, skip_channels)
                for level in levels
            }
        )
        self.residual = nn.ModuleDict(
            {
                str(r): Residual(channels[r], width, hidden[r])
                for r in channels
                if levels[0].resolution <= r <= cut
            }
        )
        # How much of each channel comes from attention rather than from the frozen block below; a half at
        # first.
        self.gate = nn.ParameterDict(
            {
                str(level.resolution): nn.Parameter(torch.zeros(channels[level.resolution]))
                for level in levels[1:]
            }
        )

    def forward(
        self,
        generator: Generator,
        source: FeaturePyramid,
        source_mask: Tensor,
        target_mask: Tensor,
        styles: Tensor | None = None,
    ) -> FeaturePyramid:
        """Rearrange.

        Args:
            generator: the frozen generator the features come from.
            source: its features at the attended resolutions, float `[B, C_r, r, r]`.
            source_mask: proxy mask of the source, one-hot float `[B, K, m, m]`.
            target_mask: proxy mask to match, one-hot float `[B, K, m, m]`.
            styles: the source's layer styles, if the generator has such.

        Returns:
            The rearranged features at every resolution from the coarsest attended one to the cut.
        """
        offered, asked = self.embed_source(source_mask), self.embed_target(target_mask)
        return self.finish(generator, self.attend(source, offered, asked), asked, styles)

    def attend(
        self, source: FeaturePyramid, offered: FeaturePyramid, asked: FeaturePyramid
    ) -> FeaturePyramid:
        """The source's features, moved at each attended resolution.

        Args:
            source: features at the attended resolutions.
            offered: the source's proxy mask, embedded.
            asked: the target's.
        """
        return {
            r: self.attention[str(r)](asked[r], self.answering(source, offered, r), source[r])
            for r in (level.resolution for level in self.levels)
        }

    @staticmethod
    def answering(source: FeaturePyramid, offered: FeaturePyramid, resolution: int) -> Tensor:
        """What keys are made of at a resolution: the source's features and its mask's embedding."""
        return torch.cat([normalise(source[resolution]), offered[resolution]], dim=1)

    def finish(
        self,
        generator: Generator,
        attended: FeaturePyramid,
        asked: FeaturePyramid,
        styles: Tensor | None = None,
    ) -> FeaturePyramid:
        """What `forward` returns, of what `attend` does."""
        return self.grow(
            generator, attended, lambda features, r: self.residual[str(r)](features, asked[r]), styles
        )

    def grow(
        self,
        generator: Generator,
        attended: FeaturePyramid,
        residual: Callable[[Tensor, int], Tensor],
        styles: Tensor | None = None,
    ) -> FeaturePyramid:
        """What `forward` returns, of what `attend` does; `residual`: to add to features at a resolution."""
        result: FeaturePyramid = {}
        features: Tensor | None = None
        for level in self.levels:
            r = level.resolution
            moved = attended[r]
            if features is not None:
                gate = torch.sigmoid(self.gate[str(r)])[:, None, None]
                moved = gate * moved + (1 - gate) * generator.block(features, r, styles)
            features = generator.in_range(moved + residual(moved, r))
            result[r] = features
        assert features is not None
        for r in self._above():
            grown = generator.block(features, r, styles)
            features = generator.in_range(grown + residual(grown, r))
            result[r] = features
        return result

    def _above(self) -> list[int]:
        """Resolutions between the last attended one and the cut."""
        r, above = self.levels[-1].resolution, []
        while r < self.cut:
            r *= 2
            above.append(r)
        return above


def normalise(features: Tensor) -> Tensor:
    """Each cell's features scaled to unit root mean square, so that keys do not follow brightness."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-6)
