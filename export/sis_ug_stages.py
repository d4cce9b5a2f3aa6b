"""What the stages of a pack of SIS-UG compute, and the graphs that fuse them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.stages import from_image, to_image
from training.generators.base import FeaturePyramid
from training.networks.one_hot import one_hot
from training.sis_ug.networks.mapper import proxy_histogram
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.rearranger_parts import RearrangerParts, Target

ToTarget = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Condition, source histogram and style strength to target proxy masks, int64 `[B, m, m]`."""


class _OfPipeline(nn.Module):
    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline


class _WithRearranger(_OfPipeline):
    def __init__(self, pipeline: SynthesisPipeline, rearranger: RearrangerParts) -> None:
        super().__init__(pipeline)
        self.rearranger = rearranger

    def keys(self, pyramid: FeaturePyramid, mask: Tensor) -> tuple[Tensor, ...]:
        """What the rearranger looks for in a source, whose proxy mask has ids `[B, m, m]`."""
        return tuple(self.rearranger.keys(pyramid, one_hot(mask, self.pipeline.clusters)).values())


class GeneratorHead(_WithRearranger):
    """Latent to features at the attended resolutions, their keys, histogram, layer styles if any."""

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        styles = () if source.styles is None else (source.styles,)
        keys = self.keys(source.pyramid, source.mask)
        return (*source.pyramid.values(), *keys, source.histogram, *styles)


class Mapper(_OfPipeline):
    """Label map, source histogram and style strength to the target proxy mask."""

    def forward(self, label_map: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.map_labels(label_map, histogram, strength).to(torch.uint8)


class SketchReader(_OfPipeline):
    """Sketch to label map."""

    def forward(self, sketch: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.read_sketches(sketch).to(torch.uint8)


class ScribbleCompleter(_OfPipeline):
    """Scribble to label map."""

    def forward(self, scribble: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.complete(scribble).to(torch.uint8)


class ProxySegmenter(_OfPipeline):
    """Image, uint8 and channels last, to its proxy mask."""

    def forward(self, image: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.segment(from_image(image)).to(torch.uint8)


class Inverter(_WithRearranger):
    """Image, uint8 and channels last, and its proxy mask to features, their keys, the mask's histogram."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        histogram = proxy_histogram(mask, self.pipeline.clusters)
        pyramid = self.pipeline.invert(from_image(image))
        return (*pyramid.values(), *self.keys(pyramid, mask), histogram)


class FusedEdit(_OfPipeline):
    """Image, label map and style strength to a uint8 image, channels last; see `FusedMapping`."""

    def forward(self, image: Tensor, label_map: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        source = self.pipeline.source_of(from_image(image))
        target = self.pipeline.map_labels(label_map, source.histogram, strength)
        return to_image(self.pipeline.shape(source, target))


class TargetReader(_WithRearranger):
    """Target proxy mask to the rearranger's queries, and to its additions."""

    def forward(self, mask: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        target = self.rearranger.target(one_hot(mask, self.pipeline.clusters))
        return (*target.queries.values(), *target.additions.values())


class Rearranger(_WithRearranger):
    """Features, keys, queries, additions, and layer styles if any, to features at the cut."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        given = iter(tensors)
        attended, added = self.rearranger.attended, self.rearranger.added
        pyramid, keys, queries, additions = (
            {r: next(given) for r in resolutions} for resolutions in (attended, attended, attended, added)
        )
        target = Target(queries, additions)
        arranged = self.rearranger(self.pipeline.generator, pyramid, keys, target, next(given, None))
        features: Tensor = arranged[self.pipeline.cut]
        return features


class GeneratorMiddle(_OfPipeline):
    """The finest attended features, and layer styles if any, to features at the cut, not rearranged."""

    def __init__(self, pipeline: SynthesisPipeline, finest: int) -> None:
        super().__init__(pipeline)
        self.finest = finest

    def forward(self, features: Tensor, styles: Tensor | None = None) -> Tensor:
        """See `Stage`."""
        return self.pipeline.grow({self.finest: features}, styles)


class GeneratorTail(_OfPipeline):
    """Features at the cut, and layer styles if any, to a uint8 image, channels last."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        return to_image(self.pipeline.tail(*tensors))


class FusedMapping(_OfPipeline):
    """Condition, latent and style strength to a uint8 image, channels last.

    It calls what the stages call. Only their edges are left out: masks stay integers between the networks,
    since TensorRT takes uint8 at the edges of a network and nowhere else.
    """

    def __init__(self, pipeline: SynthesisPipeline, to_target: ToTarget) -> None:
        super().__init__(pipeline)
        self.to_target = to_target

    def forward(self, condition: Tensor, latent: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        target = self.to_target(condition, source.histogram, strength)
        return to_image(self.pipeline.shape(source, target))


class FusedOwn(_OfPipeline):
    """Latent to the generator's own uint8 image, channels last, and the label map that is read off it."""

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """See `Stage`."""
        # Levels as floats: TensorRT has no uint8 inside a network.
        scaled = self.pipeline.generator.images(latent) * 127.5 + 127.5
        levels = scaled.clamp(0, 255).permute(0, 2, 3, 1).round()
        return levels.to(torch.uint8), self.pipeline.read_labels(from_image(levels)).to(torch.uint8)


class FusedShape(_OfPipeline):
    """Condition that is a shape by itself, and latent, to a uint8 image, channels last.

    Args:
        pipeline: of the pack.
        to_target: condition to target proxy masks, integers `[B, m, m]`.
    """

    def __init__(self, pipeline: SynthesisPipeline, to_target: Callable[[Tensor], Tensor]) -> None:
        super().__init__(pipeline)
        self.to_target = to_target

    def forward(self, condition: Tensor, latent: Tensor) -> Tensor:
        """See `Stage`."""
        return to_image(self.pipeline.shape(self.pipeline.head(latent), self.to_target(condition)))
