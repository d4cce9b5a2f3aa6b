"""What the models are warmed up with: the least of every kind of condition, and blank pictures."""

from __future__ import annotations

from collections.abc import Iterator

from service.synthesis.models import ConditionKind, Model
from service.synthesis.request import (
    Condition,
    Exemplar,
    ProxyMask,
    RawLabelMap,
    RawPicture,
    RawSketch,
    Scribble,
    Sketch,
)

_GREY = 128


def sample_conditions(model: Model) -> Iterator[Condition]:
    """One condition of each kind that a model accepts."""
    blank = blank_label_map(model, width=1, height=1)
    for kind, support in model.conditions.items():
        match kind:
            case ConditionKind.LABEL_MAP:
                yield blank
            case ConditionKind.SKETCH:
                yield Sketch(RawSketch(bytes([0, 255]), width=2, height=1))
            case ConditionKind.SCRIBBLE:
                yield Scribble(blank)
            case ConditionKind.PROXY_MASK:
                cells = bytes(support.width * support.height)
                yield ProxyMask(RawLabelMap(cells, support.width, support.height))
            case ConditionKind.EXEMPLAR:
                yield Exemplar(grey_picture(width=1, height=1))


def blank_label_map(model: Model, *, width: int, height: int) -> RawLabelMap:
    """A label map of one class."""
    return RawLabelMap(bytes([model.class_ids[0]]) * (width * height), width, height)


def grey_picture(*, width: int, height: int) -> RawPicture:
    """A picture of one grey."""
    return RawPicture(bytes([_GREY] * 3) * (width * height), width, height)
