"""Repeated fields taken out of their message one by one.

A message within the size limit can hold thousands of entries, which would take long to unpack. Looked at as
sequences, they are counted and refused first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.strokes import Stroke
from service.synthesis.styles.types import Style, StyleBlend, StyleCode, StyleSeed, WeightedStyle


class LatentsOfMessage(Sequence[Sequence[float]]):
    """The values of each latent of a message."""

    def __init__(self, latents: Sequence[pb.Latent]) -> None:
        self._latents = latents

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: Any) -> Any:
        return self._latents[index].values


class StrokesOfMessage(Sequence[Stroke]):
    """The strokes of a message."""

    def __init__(self, strokes: Sequence[pb.Stroke]) -> None:
        self._strokes = strokes

    def __len__(self) -> int:
        return len(self._strokes)

    def __getitem__(self, index: Any) -> Any:
        stroke = self._strokes[index]
        return Stroke(stroke.class_id, stroke.width, _Points(stroke.points))


class _Points(Sequence[tuple[float, float]]):
    def __init__(self, points: Sequence[pb.Point]) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: Any) -> Any:
        return self._points[index].x, self._points[index].y


class StylesOfMessage(Mapping[int, Style | None]):
    """The styles of a message, by class id."""

    def __init__(self, styles: Mapping[int, pb.Style]) -> None:
        self._styles = styles

    def __len__(self) -> int:
        return len(self._styles)

    def __iter__(self) -> Iterator[int]:
        return iter(self._styles)

    def __getitem__(self, class_id: int) -> Style | None:
        message = self._styles[class_id]
        if message.WhichOneof("style") == "blend":
            return StyleBlend(_Parts(message.blend.styles))
        return _one(message)


class _Parts(Sequence[WeightedStyle]):
    def __init__(self, parts: Sequence[pb.WeightedStyle]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        part = self._parts[index]
        return WeightedStyle(part.weight, _one(part))


def _one(message: pb.Style | pb.WeightedStyle) -> StyleCode | StyleSeed | None:
    match message.WhichOneof("style"):
        case "code":
            code = message.code
            return StyleCode(code.model, code.model_version, code.class_id, code.values)
        case "seed":
            return StyleSeed(message.seed)
    return None
