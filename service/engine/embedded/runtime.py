"""What a runtime is: it opens ONNX files and runs them, so that the engine need not know which one it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from service.engine.base import Array
from service.engine.embedded.model_config import ModelConfig

RuntimeName = Literal["onnxruntime", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

RUNTIMES: tuple[RuntimeName, ...] = ("onnxruntime", "openvino")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")

INT8_SUFFIX = ".int8.onnx"
"""In place of `.onnx`: the same graph with 8-bit layers, beside it, as `maskweave export int8` writes it."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows, the preferred first.

    Attributes:
        runtimes: Any of these.
        precisions: In any of these.
    """

    runtimes: tuple[RuntimeName, ...] = ("onnxruntime",)
    precisions: tuple[Precision, ...] = ("fp32",)

    @property
    def candidates(self) -> tuple[tuple[RuntimeName, Precision], ...]:
        """Every combination, the preferred first."""
        return tuple((runtime, precision) for precision, runtime in product(self.precisions, self.runtimes))


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output of an opened graph.

    Attributes:
        name: Its name.
        dtype: Its dtype; None where NumPy has none.
        type_text: What the runtime calls its type.
        shape: Its shape, batch included; `ANY_SIZE` where the graph leaves a size open.
    """

    name: str
    dtype: np.dtype[Any] | None
    type_text: str
    shape: tuple[int, ...]


class Interrupt(Protocol):
    """Ends what runs for a call."""

    def end(self) -> None:
        """From another thread: end the runs after the operator they are at, and all later ones."""
        ...


class Graph(Protocol):
    """A graph that is opened for some number of threads. Used by several threads at once."""

    @property
    def inputs(self) -> Sequence[GraphTensor]:
        """All inputs."""
        ...

    @property
    def outputs(self) -> Sequence[GraphTensor]:
        """All outputs."""
        ...

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], interrupt: Interrupt | None
    ) -> list[Array]:
        """Compute outputs; blocks, and lets go of the GIL meanwhile.

        Raises:
            Exception: Whatever the runtime raises; it has no common base.
        """
        ...


class Runtime(Protocol):
    """Something that runs graphs in one precision."""

    @property
    def name(self) -> RuntimeName:
        """As the settings have it."""
        ...

    @property
    def title(self) -> str:
        """As people know it."""
        ...

    @property
    def version(self) -> str:
        """Of its library."""
        ...

    @property
    def precision(self) -> Precision:
        """What it computes in."""
        ...

    def open(self, file: Path, config: ModelConfig, threads: Sequence[int]) -> Sequence[Graph]:
        """Open a file once for each number of threads.

        Raises:
            Exception: Whatever the runtime raises; it has no common base.
        """
        ...

    def interrupt(self) -> Interrupt:
        """What ends the runs of one call."""
        ...


def graph_file(file: Path, precision: Precision) -> Path:
    """The file that is run for a model file: with int8, the one beside it that has 8-bit layers, if any."""
    converted = file.with_suffix(INT8_SUFFIX)
    return converted if precision == "int8" and converted.is_file() else file
