"""SIS-UG in one piece, as it will be served: the reference for evaluation and for the exported graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.config import PackConfig
from training.generators.base import FeaturePyramid, Generator
from training.mapper import LabelMapMapper, proxy_histogram
from training.networks import label_map_mapper, pretrained_generator, proxy_segmenter, rearranger
from training.pack import load_weights
from training.rearranger import Rearranger
from training.unet import UNet, frozen, one_hot


@dataclass(frozen=True, slots=True)
class Source:
    """What a latent brings: features, proxy mask, histogram.

    Attributes:
        pyramid: features at the attended resolutions.
        mask: int64 `[B, m, m]`.
        histogram: float `[B, K]`.
        pictures: the generator's own pictures, float `[B, 3, H, W]` in [-1, 1].
        styles: its layer styles, if the generator has such.
    """

    pyramid: FeaturePyramid
    mask: Tensor
    histogram: Tensor
    pictures: Tensor
    styles: Tensor | None = None


class SynthesisPipeline(nn.Module):
    """Label map and latent to picture, through all four stages."""

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        arranger: Rearranger,
        mapper: LabelMapMapper,
    ) -> None:
        super().__init__()
        self.generator, self.segmenter, self.rearranger = generator, segmenter, arranger
        self.mapper = mapper
        self.clusters = config.proxies.clusters
        self.cut = config.rearranger.cut
        self.attended = tuple(level.resolution for level in config.rearranger.levels)

    def head(self, latents: Tensor) -> Source:
        """Stage generator head: latents `[B, latent_dim]`."""
        styles = self.generator.styles(latents)
        pyramid, pictures = self.generator.sample(latents, styles)
        mask = self.segmenter(pictures).argmax(1)
        return Source(
            {r: pyramid[r] for r in self.attended},
            mask,
            proxy_histogram(mask, self.clusters),
            pictures,
            styles,
        )

    def map_labels(self, labels: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """Stage mapper: target proxy masks, int64 `[B, m, m]`; see `LabelMapMapper`."""
        logits: Tensor = self.mapper(labels, histogram, strength)
        return logits.argmax(1)

    def rearrange(
        self,
        pyramid: FeaturePyramid,
        source_mask: Tensor,
        target_mask: Tensor,
        styles: Tensor | None = None,
    ) -> Tensor:
        """Stage rearranger: features at the cut, of the source's pyramid and both proxy masks `[B, m, m]`."""
        arranged = self.rearranger(
            self.generator,
            pyramid,
            one_hot(source_mask, self.clusters),
            one_hot(target_mask, self.clusters),
            styles,
        )
        features: Tensor = arranged[self.cut]
        return features

    def tail(self, features: Tensor, styles: Tensor | None = None) -> Tensor:
        """Stage generator tail: pictures `[B, 3, H, W]` in [-1, 1]."""
        return self.generator.tail(features, self.cut, styles)

    @torch.inference_mode()
    def forward(self, labels: Tensor, latents: Tensor, strength: Tensor) -> Tensor:
        """Pictures `[B, 3, H, W]` in [-1, 1] of label maps `[B, H, W]`, latents, style strengths `[B, 1]`."""
        source = self.head(latents)
        target = self.map_labels(labels, source.histogram, strength)
        features = self.rearrange(source.pyramid, source.mask, target, source.styles)
        return self.tail(features, source.styles)


def load_pipeline(config: PackConfig, folder: Path) -> SynthesisPipeline:
    """The pipeline of a trained pack, on the CPU.

    Raises:
        FileNotFoundError: if a network has not been trained or the generator is not installed.
    """
    generator = pretrained_generator(config)
    return SynthesisPipeline(
        config,
        generator,
        frozen(load_weights(proxy_segmenter(config), folder, "proxy_segmenter")),
        load_weights(rearranger(config, generator), folder, "rearranger_tuned"),
        _folded(load_weights(label_map_mapper(config), folder, "mapper_label_map")),
    ).eval()


def _folded(mapper: LabelMapMapper) -> LabelMapMapper:
    mapper.network = frozen(mapper.network)
    return mapper
