"""SIS-UG in one piece, as it will be served: the reference for evaluation and for the exported graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from training.conditions.readers import ScribbleCompleter, SketchReader
from training.config.weights import load_weights, weights_path
from training.generators.base import FeaturePyramid, Generator
from training.networks.judge import Judge
from training.networks.one_hot import one_hot
from training.networks.unet import UNet, frozen
from training.sis_ug.config import PackConfig
from training.sis_ug.inversion.inverter import Inverter
from training.sis_ug.networks.build import (
    inverter,
    judge,
    label_map_mapper,
    label_segmenter,
    pretrained_generator,
    proxy_segmenter,
    rearranger,
    scribble_completer,
    sketch_reader,
)
from training.sis_ug.networks.mapper import LabelMapMapper, proxy_histogram
from training.sis_ug.networks.rearranger import Rearranger
from training.sis_ug.students.build import load_low_rank, proxy_reader
from training.sis_ug.students.proxy_reader import ProxyReader

INVERTER = "inverter"
LABEL_SEGMENTER = "label_segmenter"
JUDGE = "judge"
"""Of a stage, its split, its run and its file."""
UNTUNED_REARRANGER = "rearranger"
TUNED_REARRANGER = "rearranger_tuned"
PROXY_READER = "proxy_reader"
LEAN_MAPPER = "lean_mapper"
LEAN_REARRANGER = "lean_rearranger"
STUDENTS = (PROXY_READER, LEAN_MAPPER, LEAN_REARRANGER)
TEACHERS = ("proxy_segmenter", "mapper_label_map", UNTUNED_REARRANGER, TUNED_REARRANGER)
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Source:
    """What a latent brings: features, proxy mask, histogram.

    Attributes:
        pyramid: features at the attended resolutions.
        mask: int64 `[B, m, m]`.
        histogram: float `[B, K]`.
        images: the generator's own images, float `[B, 3, H, W]` in [-1, 1].
        styles: its layer styles, if the generator has such.
    """

    pyramid: FeaturePyramid
    mask: Tensor
    histogram: Tensor
    images: Tensor
    styles: Tensor | None = None


class SynthesisPipeline(nn.Module):
    """Condition and latent to image, through all stages.

    Args:
        config: of the pack.
        generator: frozen.
        segmenter: images to proxy masks.
        arranger: the rearranger.
        mapper: for label maps.
        proxy_reader: features to proxy masks, in place of the segmenter wherever there are features; None
            while it is not trained.
        reader: of sketches; None while it is not trained.
        completer: of scribbles; None while it is not trained.
        inverter: for edits of images; None while it is not trained.
        label_reader: images to label maps; None while it is not trained.
    """

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        arranger: Rearranger,
        mapper: LabelMapMapper,
        reader: SketchReader | None = None,
        completer: ScribbleCompleter | None = None,
        inverter: Inverter | None = None,
        proxy_reader: ProxyReader | None = None,
        label_reader: UNet | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.segmenter, self.rearranger = generator, segmenter, arranger
        self.mapper, self.reader, self.completer = mapper, reader, completer
        self.inverter, self.proxy_reader, self.label_reader = inverter, proxy_reader, label_reader
        self.clusters = config.proxies.clusters
        self.cut = config.rearranger.cut
        self.attended = tuple(level.resolution for level in config.rearranger.levels)

    def head(self, latents: Tensor) -> Source:
        """Stage generator head: latents `[B, latent_dim]`."""
        styles = self.generator.styles(latents)
        pyramid, images = self.generator.sample(latents, styles)
        mask = self.segment(images) if self.proxy_reader is None else _likeliest(self.proxy_reader(pyramid))
        return Source(
            {r: pyramid[r] for r in self.attended},
            mask,
            proxy_histogram(mask, self.clusters),
            images,
            styles,
        )

    def invert(self, images: Tensor) -> FeaturePyramid:
        """Stage inverter: features at the attended resolutions, of images `[B, 3, H, W]` in [-1, 1]."""
        assert self.inverter is not None, "the inverter is not trained"
        pyramid: FeaturePyramid = self.inverter(images)
        return pyramid

    def source_of(self, images: Tensor) -> Source:
        """What images `[B, 3, H, W]` in [-1, 1] bring, in place of a latent."""
        mask = self.segment(images)
        return Source(self.invert(images), mask, proxy_histogram(mask, self.clusters), images)

    def map_labels(self, labels: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """Stage mapper: target proxy masks, int64 `[B, m, m]`; see `LabelMapMapper`."""
        return _likeliest(self.mapper(labels, histogram, strength))

    def read_sketches(self, sketches: Tensor) -> Tensor:
        """Stage sketch reader: label maps, int64 `[B, H, W]`; see `SketchReader`."""
        assert self.reader is not None, "the reader of sketches is not trained"
        return _likeliest(self.reader(sketches))

    def complete(self, scribbles: Tensor) -> Tensor:
        """Stage scribble completer: label maps, int64 `[B, H, W]`; see `ScribbleCompleter`."""
        assert self.completer is not None, "the completer of scribbles is not trained"
        return _likeliest(self.completer(scribbles))

    def segment(self, images: Tensor) -> Tensor:
        """Stage proxy segmenter: proxy masks, int64 `[B, m, m]`, of images `[B, 3, H, W]` in [-1, 1]."""
        return _likeliest(self.segmenter(images))

    def read_labels(self, images: Tensor) -> Tensor:
        """Stage label reader: label maps, int64 `[B, H, W]`, of images `[B, 3, H, W]` in [-1, 1]."""
        assert self.label_reader is not None, "the label segmenter is not trained"
        return _likeliest(self.label_reader(images))

    def grow(self, pyramid: FeaturePyramid, styles: Tensor | None = None) -> Tensor:
        """Stage generator middle: features at the cut, of attended ones that nothing has rearranged."""
        finest = max(self.attended)
        features = pyramid[finest]
        for resolution in self.generator.channels:
            if finest < resolution <= self.cut:
                features = self.generator.block(features, resolution, styles)
        return features

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
        """Stage generator tail: images `[B, 3, H, W]` in [-1, 1]."""
        return self.generator.tail(features, self.cut, styles)

    @torch.inference_mode()
    def forward(self, labels: Tensor, latents: Tensor, strength: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1] of label maps `[B, H, W]`, latents, style strengths `[B, 1]`."""
        source = self.head(latents)
        return self.shape(source, self.map_labels(labels, source.histogram, strength))

    def shape(self, source: Source, target_mask: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1] of a source in the shape of proxy masks `[B, m, m]`."""
        features = self.rearrange(source.pyramid, source.mask, target_mask, source.styles)
        return self.tail(features, source.styles)


def load_pipeline(config: PackConfig, folder: Path, *, students: bool = True) -> SynthesisPipeline:
    """The pipeline of a trained pack, on the CPU.

    What sketches, scribbles, edits and reading of images need is there once it is trained.

    Args:
        config: of the pack.
        folder: the pack's.
        students: let each student that is trained take its teacher's place.

    Raises:
        FileNotFoundError: if another network has not been trained or the generator is not installed.
    """
    generator = pretrained_generator(config)
    inverting = _if_trained(lambda: inverter(config, generator), folder, INVERTER)
    if inverting is not None:
        inverting = inverting.half().float()  # exported graphs then hold it in half the space
    taught = config.students is not None and students
    reading = _if_trained(lambda: proxy_reader(config, generator), folder, PROXY_READER) if taught else None
    mapper = frozen(load_weights(label_map_mapper(config), folder, "mapper_label_map"))
    arranger = load_weights(rearranger(config, generator), folder, served_rearranger(folder))
    if taught and weights_path(folder, LEAN_MAPPER).exists():
        mapper = load_low_rank(mapper, folder, LEAN_MAPPER)
    if taught and weights_path(folder, LEAN_REARRANGER).exists():
        arranger = load_low_rank(arranger, folder, LEAN_REARRANGER)
    return SynthesisPipeline(
        config,
        generator,
        frozen(load_weights(proxy_segmenter(config), folder, "proxy_segmenter")),
        arranger,
        mapper,
        _if_trained(lambda: sketch_reader(config), folder, "sketch_reader"),
        _if_trained(lambda: scribble_completer(config), folder, "scribble_completer"),
        inverting,
        reading,
        load_label_reader(config, folder),
    ).eval()


def load_label_reader(config: PackConfig, folder: Path) -> UNet | None:
    """What reads label maps off images where the pack is served; half precision holds its weights exactly.

    None while the label segmenter is not trained.
    """
    network = _if_trained(lambda: label_segmenter(config), folder, LABEL_SEGMENTER)
    return None if network is None else network.half().float()


def load_judge(config: PackConfig, folder: Path) -> Judge | None:
    """What a pack's evaluation reads label maps with; None while it is not trained."""
    if config.judge is None or not weights_path(folder, JUDGE).exists():
        return None
    return load_weights(judge(config), folder, JUDGE)


def served_rearranger(folder: Path) -> str:
    """Name of the rearranger that a pack serves: the one a cycle tuned, or as it was before any label."""
    tuned = weights_path(folder, TUNED_REARRANGER).exists()
    return TUNED_REARRANGER if tuned else UNTUNED_REARRANGER


def _if_trained(build: Callable[[], _Network], folder: Path, name: str) -> _Network | None:
    """What `build` makes, with the weights of that name in a pack's folder; None while there are none."""
    if not weights_path(folder, name).exists():
        return None
    return frozen(load_weights(build(), folder, name))


def _likeliest(logits: Tensor) -> Tensor:
    return logits.argmax(1)
