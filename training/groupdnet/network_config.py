"""Shapes of GroupDNet's networks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from training.config.sections import Positive, Section, Widths
from training.groupdnet.published.presets import PresetSection, preset_values

MAX_SIDE = 1 << 13
"""Pixels; far more than networks of this kind were ever made for."""
Expectation = Literal["own_region", "whole_map", "none"]


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
    """Rows of a class's crop; it has `aspect` times as many columns."""
    planes: Literal[3, 4]
    """Channels of a crop: the image, or image and mask."""
    widths: Widths
    """Channels of a style after each halving."""
    norm: Literal["instance", "group"]
    """Published: instance norm. Group norm, a group for each style, keeps what colour the whole class has."""
    spectral: bool
    resize: Literal["linear", "nearest"] = "linear"
    """How a crop is brought to its size; published: nearest."""


class NetworkSection(Section):
    """Encoder and decoder.

    In place of the fields a configuration may give the name of a published shape as `preset`, with `width`
    and `side` of `PresetSection`; every field that is given, too, takes the place of the preset's.

    Attributes:
        classes: C, of the label maps.
        map_planes: channels of the map for each class: 1, or 2: the class and the edges between classes
            (published for Cityscapes, with the edges of instances).
        aspect: columns for each row of an image; 2 for Cityscapes.
        style_classes: for each class the style it takes its code from; classes may share one.
        class_order: the classes as the decoder arranges them: neighbours meet first as groups merge.
        code: numbers (channels) of a style's code.
        code_side: 1 for vectors; else codes have so many rows of cells, which must be `start_side`.
        start: width (channels) of the decoder's first features, a multiple of the classes.
        start_side: rows of cells of the first features.
        map_resize: how the decoder shrinks maps: "nearest" as published, or "area", which lets classes of a
            few pixels be seen at coarse resolutions.
        spectral: spectral norm in the decoder.
        grouped: whether encoder and the decoder's start have a group for each style or class; False is for
            the comparison with a network without groups.
        fold: pixels per side that the last block's cells stand for. 1 as published; 2 folds 2x2 pixels into
            channels, as `training.networks.unet` does: the finest block costs a quarter and still sees every
            pixel of the map.
        expectation: what codes are told as departures from: what the map leads to expect of a style by the
            region of that style alone, by the whole map, or nothing. See
            `training.groupdnet.codes.expectation`.
    """

    classes: Positive
    map_planes: Literal[1, 2] = 1
    aspect: Positive = 1
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
    expectation: Expectation = "own_region"
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
        """Rows of images."""
        return int(self.start_side * 2 ** (len(self.blocks) - 1)) * self.fold

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of images."""
        return self.image_side, self.image_side * self.aspect

    @property
    def code_cells(self) -> tuple[int, int] | None:
        """Height and width of a code's cells; None for vectors."""
        return None if self.code_side == 1 else (self.code_side, self.code_side * self.aspect)

    @property
    def style_size(self) -> int:
        """Numbers of one style's code, those of its cells together."""
        return self.code if self.code_side == 1 else self.code * self.code_side**2 * self.aspect

    @property
    def code_numbers(self) -> int:
        """Numbers of all codes of an image together."""
        return self.styles * self.style_size

    @model_validator(mode="before")
    @classmethod
    def _preset_is_filled_in(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "preset" not in values:
            return values
        named = {key: values[key] for key in PresetSection.model_fields if key in values}
        rest = {key: value for key, value in values.items() if key not in named}
        return preset_values(PresetSection.model_validate(named)) | rest

    @model_validator(mode="after")
    def _classes_fit(self) -> NetworkSection:
        if len(self.class_order) != self.classes or sorted(self.class_order) != list(range(self.classes)):
            raise ValueError(f"class_order: must have each of the {self.classes} classes once")
        if len(self.style_classes) != self.classes:
            raise ValueError(f"style_classes: must name a style for each of the {self.classes} classes")
        if min(self.style_classes) or len(set(self.style_classes)) != self.styles:
            raise ValueError(f"style_classes: styles must count up from 0, found {self.style_classes}")
        return self

    @model_validator(mode="after")
    def _images_are_not_huge(self) -> NetworkSection:
        if max(*self.image_size, self.encoder.side) > MAX_SIDE:
            height, width = self.image_size
            raise ValueError(
                f"start_side, blocks, fold and aspect: make images of {height} x {width} pixels, read by an "
                f"encoder of side {self.encoder.side}; allowed are up to {MAX_SIDE}"
            )
        return self

    @model_validator(mode="after")
    def _codes_fit(self) -> NetworkSection:
        if self.code_side not in (1, self.start_side):
            raise ValueError(
                f"code_side: got {self.code_side}, allowed are 1 (vectors) and start_side, {self.start_side}"
            )
        side, halvings = self.encoder.side, len(self.encoder.widths)
        left, rest = divmod(side, 2**halvings)
        if rest or left < 1 or self.code_side not in {1, left}:
            wanted = "a multiple of" if self.code_side == 1 else f"{self.code_side} times"
            raise ValueError(
                f"encoder.side: got {side}; with {halvings} encoder.widths, each of which halves, allowed is "
                f"{wanted} {2**halvings}"
            )
        return self

    @model_validator(mode="after")
    def _channels_divide(self) -> NetworkSection:
        if self.start % self.classes:
            near = self.classes * max(1, round(self.start / self.classes))
            raise ValueError(
                f"start: {self.start} channels do not divide into {self.classes} classes; allowed are "
                f"multiples of {self.classes}, such as {near}"
            )
        inputs = self.start
        for i, block in enumerate(self.blocks):
            hidden, into, out = block.norm_shape(block.groups)
            planes = self.classes * self.block_planes
            for what, channels, name, groups in (
                ("input channels", inputs, "groups", block.groups),
                ("width", block.width, "groups", block.groups),
                ("channels of the map", planes, "hidden_groups", into),
                ("hidden", hidden, "hidden_groups", into),
                ("hidden", hidden, "norm_groups", out),
                ("input channels", inputs, "norm_groups", out),
                ("width", min(inputs, block.width), "norm_groups", out),
            ):
                if channels % groups:
                    allowed = common_divisors(planes, inputs, min(inputs, block.width), block.width, hidden)
                    raise ValueError(
                        f"blocks.{i}: {channels} channels do not divide into {groups} groups ({what} by "
                        f"{name}); with these widths and one number for all three kinds of groups, allowed "
                        f"are {', '.join(map(str, allowed))}"
                    )
            inputs = block.width
        return self


def common_divisors(*numbers: int) -> list[int]:
    """What divides all of some numbers, in rising order."""
    return [divisor for divisor in range(1, min(numbers) + 1) if not any(n % divisor for n in numbers)]
