"""Wire messages of styles to the service's own types and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.synthesis.models import StyleSupport
from service.synthesis.style_encoding import Encoding
from service.synthesis.style_requests import Style, StyleBlend, StyleCode, StyleSeed, WeightedStyle

_PATHS = {
    pb.MORPH_PATH_UNSPECIFIED: False,
    pb.MORPH_PATH_LINEAR: False,
    pb.MORPH_PATH_SPHERICAL: True,
}
"""Whether a path is spherical."""


class StylesOfMessage(Mapping[int, Style | None]):
    """Styles taken out of the message one by one, so that too many are counted and refused first."""

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


def is_spherical(path: pb.MorphPath.ValueType) -> bool:
    """Read a path.

    Raises:
        InvalidArgument: It is not a known one.
    """
    spherical = _PATHS.get(path)
    if spherical is None:
        raise InvalidArgument("path", path, ", ".join(pb.MorphPath.Name(known) for known in _PATHS))
    return spherical


def codes_to_proto(encoding: Encoding) -> list[pb.StyleCode]:
    """Put the codes of a picture on the wire."""
    return [
        pb.StyleCode(
            model=code.model,
            model_version=code.model_version,
            class_id=code.class_id,
            values=code.values,
            covered_class_ids=code.covered_class_ids,
        )
        for code in encoding.codes
    ]


def support_to_proto(styles: StyleSupport) -> pb.StyleSupport:
    """Describe the styles of a model."""
    return pb.StyleSupport(
        style_size=styles.size, styles=[pb.StyleClasses(class_ids=ids) for ids in styles.classes]
    )
