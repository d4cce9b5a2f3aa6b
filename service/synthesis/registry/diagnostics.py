"""Diagnostics of the metadata of a model, and the check of its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from service.core.errors import RepositoryProblem
from service.engine.base import ANY_SIZE, ModelInfo, TensorSpec


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
