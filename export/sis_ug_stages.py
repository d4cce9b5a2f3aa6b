"""What the stages of a pack of SIS-UG compute, and the graphs that fuse them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from export.stages import from_image, to_image
from training.sis_ug.networks.mapper import proxy_histogram
from training.sis_ug.pipeline import SynthesisPipeline

ToTarget = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Condition, source histogram and style strength to target proxy masks, int64 `[B, m, m]`."""


class _OfPipeline(nn.Module):
    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline


class GeneratorHead(_OfPipeline):
    """Latent to features at the attended resolutions, source proxy mask, histogram, layer styles if any."""

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        styles = () if source.styles is None else (source.styles,)
        return (*source.pyramid.values(), source.mask.to(torch.uint8), source.histogram, *styles)


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


class Inverter(_OfPipeline):
    """Image, uint8 and channels last, and its proxy mask to features, and the mask's histogram."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        histogram = proxy_histogram(mask, self.pipeline.clusters)
        return (*self.pipeline.invert(from_image(image)).values(), histogram)


class FusedEdit(_OfPipeline):
    """Image, label map and style strength to a uint8 image, channels last; see `FusedMapping`."""

    def forward(self, image: Tensor, label_map: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        source = self.pipeline.source_of(from_image(image))
        target = self.pipeline.map_labels(label_map, source.histogram, strength)
        return to_image(self.pipeline.shape(source, target))


class Rearranger(_OfPipeline):
    """Source features, both proxy masks, and layer styles if any, to features at the cut."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        levels = len(self.pipeline.attended)
        pyramid = dict(zip(self.pipeline.attended, tensors[:levels], strict=True))
        return self.pipeline.rearrange(pyramid, *tensors[levels:])


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
