"""The tensors through which a condition becomes an image: names, types and shapes, and the check of them.

Every ensemble that serves a pack has these; `export/` writes them, the repository declares them, and
only this layer reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from service.core.diagnostics import RepositoryProblem
from service.engine.base import ANY_SIZE, ModelInfo, TensorSpec
from service.synthesis.registry.models import ConditionKind

LABEL_MAP = "LABEL_MAP"
"""Input, uint8 `[height, width]`: class ids. Output of what reads label maps."""

SKETCH = "SKETCH"
"""Input, uint8 `[height, width]`: ink, 0 for none."""

SCRIBBLE = "SCRIBBLE"
"""Input, uint8 `[height, width]`: class ids, 255 where nothing is drawn."""

TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
"""Input, uint8 `[height, width]` of the proxy masks: cluster ids."""

LATENT = "LATENT"
"""Input, float32 `[latent_size]`: the generator's random input, already scaled."""

STYLE_STRENGTH = "STYLE_STRENGTH"
"""Input, float32 `[1]`: weight of the start's style against the condition. Of the method SIS-UG."""

GIVEN_STYLES = "GIVEN_STYLES"
"""Input, float32 `[styles, style_size]`: the code of each style that is given. Of the method GroupDNet."""

STYLE_GIVEN = "STYLE_GIVEN"
"""Input, uint8 `[styles]`: 1 where the style is given, 0 where the latent decides. Of GroupDNet, too."""

IMAGE = "IMAGE"
"""Output, uint8 `[height, width, 3]`: RGB."""

PICTURE = "PICTURE"
"""Input, uint8 `[height, width, 3]`: RGB. An exemplar, what is edited, or what something is read off."""

CONDITIONS: Mapping[ConditionKind, tuple[str, str]] = MappingProxyType(
    {
        ConditionKind.LABEL_MAP: (LABEL_MAP, "[height, width]"),
        ConditionKind.SKETCH: (SKETCH, "[height, width]"),
        ConditionKind.SCRIBBLE: (SCRIBBLE, "[height, width]"),
        ConditionKind.PROXY_MASK: (TARGET_PROXY_MASK, "[height, width]"),
        ConditionKind.EXEMPLAR: (PICTURE, "[height, width, 3]"),
    }
)
"""The input that takes each kind of condition, and its dims."""

STYLE_MEAN = "STYLE_MEAN"
"""Output of a style encoder, float32 `[styles, style_size]`."""

STYLE_LOG_VARIANCE = "STYLE_LOG_VARIANCE"
"""Output of a style encoder, float32 `[styles, style_size]`: natural logarithms."""

JOINT_STYLES = "JOINT_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: styles that go together. Its input is `LATENT`."""

SINGLE_STYLES = "SINGLE_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: each style drawn by itself."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something wrong with a config.

    Attributes:
        field: The field that is wrong.
        problem: What is wrong with it.
        allowed: What would have been accepted.
        model: Whose config it is; empty for the one that was read.
    """

    field: str
    problem: str
    allowed: str
    model: str = ""


class MetadataError(Exception):
    """A model cannot be offered; has every diagnostic found."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)

    def problems(self, model: str) -> list[RepositoryProblem]:
        """The diagnostics, as of the config of `model`."""
        return [
            RepositoryProblem(
                f"{each.model or model}/config.pbtxt",
                each.field,
                each.problem,
                each.allowed,
            )
            for each in self.diagnostics
        ]


class Shapes:
    """Reads the shapes of a model's tensors, and collects what is wrong with them."""

    def __init__(self, info: ModelInfo) -> None:
        self._info = info
        self.diagnostics: list[Diagnostic] = []
        if info.max_batch_size < 1:
            self._add("max_batch_size", f"got {info.max_batch_size}", "at least 1")

    def input(self, name: str, dtype: type, dims: str) -> tuple[int, ...]:
        """The shape of an input; `dims` are sizes, or words for any."""
        return self._shape(self._info.inputs, f"input[{name}]", name, dtype, dims)

    def output(self, name: str, dtype: type, dims: str) -> tuple[int, ...]:
        """The shape of an output."""
        return self._shape(self._info.outputs, f"output[{name}]", name, dtype, dims)

    def _shape(
        self, specs: Iterable[TensorSpec], field: str, name: str, dtype: type, dims: str
    ) -> tuple[int, ...]:
        allowed = f"{np.dtype(dtype).name}, dims {dims}, all fixed"
        spec = next((spec for spec in specs if spec.name == name), None)
        if spec is None:
            self._add(field, "missing", allowed)
            return ()
        wanted = dims.strip("[]").split(", ")
        fits = len(spec.shape) == len(wanted) and all(
            size != ANY_SIZE and (not want.isdecimal() or size == int(want))
            for size, want in zip(spec.shape, wanted, strict=True)
        )
        if spec.dtype != dtype or not fits:
            self._add(field, f"got {spec.dtype.name}, dims {list(spec.shape)}", allowed)
            return ()
        return spec.shape

    def _add(self, field: str, problem: str, allowed: str) -> None:
        self.diagnostics.append(Diagnostic(field, problem, allowed, self._info.name))
