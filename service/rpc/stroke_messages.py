"""Strokes on the wire to the service's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.strokes import Stroke


class StrokesOfMessage(Sequence[Stroke]):
    """Strokes taken out of the message one by one, so that too many are counted and refused first."""

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
