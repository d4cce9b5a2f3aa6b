"""Shapes of GroupDNet's networks, and the published ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.sections import Positive, Section, Widths


class BlockSection(Section):
    """One CG-Block of the decoder: the first at the start's resolution, each next one at twice that."""

    width: Positive
    """Output channels."""
    groups: Positive
    """Of its convolutions."""
    hidden: Positive
    """Channels between the map and the norm's scale and shift."""
    hidden_groups: int = Field(default=0, ge=0)
    """Of the convolution from the map; 0: as `groups`."""
    norm_groups: int = Field(default=0, ge=0)
    """Of the convolutions to scale and shift; 0: as `groups`."""

    def norm_shape(self, groups: int) -> tuple[int, int, int]:
        """Hidden channels, groups into them, groups out of them."""
        return self.hidden, self.hidden_groups or groups, self.norm_groups or groups


class EncoderSection(Section):
    """The encoder; every convolution has a group for each style, if the network is grouped."""

    side: Positive
    """Pixels per side of a class's crop (the published Cityscapes crops are twice as wide)."""
    planes: Literal[3, 4]
    """Channels of a crop: the picture, or picture and mask."""
    widths: Widths
    """Channels of a style after each halving."""
    norm: Literal["instance", "group"]
    """Published: instance norm. Group norm, a group for each style, keeps what colour the whole class has."""
    spectral: bool


class NetworkSection(Section):
    """Encoder and decoder.

    Attributes:
        classes: C, of the label maps.
        map_planes: channels of the map for each class (Cityscapes: the class and the instances' edges).
        style_classes: for each class the style it takes its code from; classes may share one.
        class_order: the classes as the decoder arranges them: neighbours meet first as groups merge.
        code: numbers (channels) of a style's code.
        code_side: 1 for vectors; else codes have this many cells a side.
        start: width (channels) of the decoder's first features, at `start_side`.
        start_side: cells per side of the first features.
        map_resize: how the decoder shrinks maps: "nearest" as published, or "area", which lets classes of a
            few pixels be seen at coarse resolutions.
        spectral: spectral norm in the decoder.
        grouped: whether encoder and the decoder's start have a group for each style or class; False is for
            the comparison with a network without groups.
        fold: pixels per side that the last block's cells stand for. 1 as published; 2 folds 2x2 pixels into
            channels, as `training.unet` does: the finest block costs a quarter and still sees every pixel of
            the map.
    """

    classes: Positive
    map_planes: Positive = 1
    style_classes: tuple[int, ...]
    class_order: tuple[int, ...]
    code: Positive
    code_side: Positive
    start: Positive
    start_side: Positive = 4
    blocks: tuple[BlockSection, ...] = Field(min_length=1)
    map_resize: Literal["nearest", "area"]
    spectral: bool
    grouped: bool = True
    fold: Positive = 1
    encoder: EncoderSection

    @property
    def block_planes(self) -> int:
        """Channels of the map for each class as the blocks see it."""
        return self.map_planes * self.fold**2

    @property
    def styles(self) -> int:
        """Number of codes."""
        return max(self.style_classes) + 1

    @property
    def image_side(self) -> int:
        """Pixels per side of pictures."""
        return int(self.start_side * 2 ** (len(self.blocks) - 1)) * self.fold

    @property
    def code_numbers(self) -> int:
        """Numbers of all codes of a picture together."""
        return self.styles * self.code * self.code_side**2

    @model_validator(mode="after")
    def _classes_fit(self) -> NetworkSection:
        if sorted(self.class_order) != list(range(self.classes)):
            raise ValueError(f"class_order: must have each of the {self.classes} classes once")
        if len(self.style_classes) != self.classes:
            raise ValueError(f"style_classes: must name a style for each of the {self.classes} classes")
        if sorted(set(self.style_classes)) != list(range(self.styles)):
            raise ValueError(f"style_classes: styles must count up from 0, found {self.style_classes}")
        return self

    @model_validator(mode="after")
    def _channels_divide(self) -> NetworkSection:
        if self.start % self.classes:
            raise ValueError(f"start: {self.start} channels do not divide into {self.classes} classes")
        inputs = self.start
        for i, block in enumerate(self.blocks):
            hidden, into, out = block.norm_shape(block.groups)
            for channels, groups in (
                (inputs, block.groups),
                (block.width, block.groups),
                (self.classes * self.block_planes, into),
                (hidden, into),
                (hidden, out),
                (inputs, out),
                (min(inputs, block.width), out),
            ):
                if channels % groups:
                    raise ValueError(f"blocks.{i}: {channels} channels do not divide into {groups} groups")
            inputs = block.width
        return self


def _published(
    classes: int,
    start: int,
    ndf: int,
    blocks: tuple[BlockSection, ...],
    map_planes: int = 1,
) -> NetworkSection:
    ids = tuple(range(classes))
    return NetworkSection(
        classes=classes,
        map_planes=map_planes,
        style_classes=ids,
        class_order=ids,
        code=8,
        code_side=4,
        start=start,
        blocks=blocks,
        map_resize="nearest",
        spectral=True,
        encoder=EncoderSection(
            side=256,
            planes=3,
            widths=tuple(factor * ndf // classes for factor in (1, 2, 4, 8, 8, 8)),
            norm="instance",
            spectral=True,
        ),
    )


def deepfashion() -> NetworkSection:
    """DeepFashion as published: 256 px, 8 classes."""
    layers = ((2560, 8), (2560, 8), (2560, 4), (1280, 4), (640, 2), (320, 2), (160, 1))
    blocks = tuple(BlockSection(width=width, groups=groups, hidden=128) for width, groups in layers)
    return _published(8, 2560, 256, blocks)


def cityscapes() -> NetworkSection:
    """Cityscapes as published: 256x512 px, 34 classes and "unknown", the instances' edges beside each.

    The norms keep 35 groups throughout.
    """
    layers = ((4480, 35), (4480, 35), (4480, 20), (2240, 14), (1120, 10), (560, 4), (280, 1))
    blocks = tuple(
        BlockSection(width=width, groups=groups, hidden=35 * groups, hidden_groups=35, norm_groups=35)
        for width, groups in layers
    )
    return _published(35, 4480, 350, blocks, map_planes=2)


def ade20k() -> NetworkSection:
    """ADE20K as published: 256 px, 150 classes and "unknown"."""
    layers = ((2416, 151), (2048, 16), (1024, 16), (1024, 8), (512, 4), (256, 2), (128, 1))
    blocks = tuple(
        BlockSection(
            width=width,
            groups=groups,
            hidden=302 if 151 % groups == 0 else 151 * groups,
            hidden_groups=151,
        )
        for width, groups in layers
    )
    return _published(151, 2416, 604, blocks)


PRESETS = {"deepfashion": deepfashion, "cityscapes": cityscapes, "ade20k": ade20k}
