"""Styles: how classes are to look, as callers have it at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index

import numpy as np
from google.protobuf.message import DecodeError

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import UINT32, float_of, naming


@dataclass(frozen=True)
class StyleCode:
    """How one style of one image looks: what `Client.encode_styles` reads, and every call takes back.

    It is good for the version of the model that gave it. `to_bytes` and `from_bytes` keep it in a file.

    Attributes:
        model: Name of the model that it is of.
        model_version: Version of that model.
        class_id: The class that it is of: the lowest in the image's label map that has the style.
        values: Its numbers, as many as `Model.styles.style_size`.
        covered_class_ids: All classes of the image's label map that have the style.
    """

    model: str
    model_version: str
    class_id: int
    values: tuple[float, ...]
    covered_class_ids: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """The code as bytes, to be kept."""
        return code_to_proto(self).SerializeToString()

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> StyleCode:
        """The code that `to_bytes` made these of.

        Raises:
            ValueError: They are not a code.
        """
        try:
            message = pb.StyleCode.FromString(bytes(data))
        except DecodeError:
            message = pb.StyleCode()
        if not (message.model and message.values):
            raise ValueError(f"data: got {len(data)} bytes that are no code; allowed: what to_bytes gave")
        return code_from_proto(message)


@dataclass(frozen=True)
class Seed:
    """A style as a seed decides, without regard to other classes.

    Attributes:
        seed: An integer from 0 to 4294967295.
    """

    seed: int


@dataclass(frozen=True)
class Blend:
    """A mixture of styles: the sum of their codes by their weights.

    Attributes:
        parts: Each style with its weight. The weights need not sum to 1 and may be negative.
    """

    parts: tuple[tuple[StyleCode | Seed, float], ...]


Style = StyleCode | Seed | Blend
"""How a class is to look: as in an image, as a seed decides, or as a mixture of these."""


def blend(*parts: tuple[StyleCode | Seed, float]) -> Blend:
    """Mix styles: `blend((hers, 0.5), (his, 0.5))`; `blend((hers, 1.5), (his, -0.5))` goes beyond hers."""
    return Blend(parts)


def styles_to_proto(argument: str, styles: Mapping[int, Style] | None) -> dict[int, pb.Style]:
    """Put styles by class id on the wire; `argument` is for messages.

    Raises:
        TypeError: Something is not a style or not a number.
        ValueError: A class id or a seed does not fit its field.
    """
    return {
        _class_id(argument, class_id): _style_to_proto(f"{argument}[{class_id}]", style)
        for class_id, style in (styles or {}).items()
    }


def code_to_proto(code: StyleCode) -> pb.StyleCode:
    """Put a code on the wire."""
    with naming("StyleCode", code, "what encode_styles gave"):
        return pb.StyleCode(
            model=code.model,
            model_version=code.model_version,
            class_id=index(code.class_id),
            values=map(float_of, code.values),
            covered_class_ids=map(index, code.covered_class_ids),
        )


def code_from_proto(message: pb.StyleCode) -> StyleCode:
    """Read a code."""
    return StyleCode(
        message.model,
        message.model_version,
        message.class_id,
        tuple(message.values),
        tuple(message.covered_class_ids),
    )


def _class_id(argument: str, class_id: int) -> int:
    if not isinstance(class_id, int | np.integer) or not 0 <= class_id < 2**32:
        raise ValueError(f"{argument}: got the class {class_id!r}; allowed: class ids of the model's palette")
    return int(class_id)


def _style_to_proto(argument: str, style: Style) -> pb.Style:
    if isinstance(style, StyleCode):
        return pb.Style(code=code_to_proto(style))
    if isinstance(style, Seed):
        with naming(argument, style.seed, UINT32):
            return pb.Style(seed=index(style.seed))
    if isinstance(style, Blend):
        parts = [_part_to_proto(argument, part, weight) for part, weight in style.parts]
        return pb.Style(blend=pb.StyleBlend(styles=parts))
    raise TypeError(f"{argument}: got {type(style).__name__}; allowed: StyleCode, Seed, Blend")


def _part_to_proto(argument: str, part: StyleCode | Seed, weight: float) -> pb.WeightedStyle:
    with naming(argument, (part, weight), "a StyleCode or a Seed, and a number"):
        if isinstance(part, StyleCode):
            return pb.WeightedStyle(weight=float_of(weight), code=code_to_proto(part))
        if isinstance(part, Seed):
            return pb.WeightedStyle(weight=float_of(weight), seed=index(part.seed))
    raise TypeError(f"{argument}: got {type(part).__name__} in a blend; allowed: StyleCode, Seed")
