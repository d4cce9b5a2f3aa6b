"""Graphs in OpenVINO, on the CPU. An extra: imported only where it may serve."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.base import ANY_SIZE, Array
from service.engine.embedded.model_config import ModelConfig
from service.engine.embedded.runtime import GraphTensor, Interrupt, Precision, RuntimeName

# OpenVINO tells its maker of every import, from a forked process, which it terminates where the network does
# not answer. That signal reaches the gateway's event loop, whose descriptors the fork shares, and stops the
# gateway. Without the package that tells, OpenVINO does without.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

_DEVICE = "CPU"

# OpenVINO makes its table of types when it is first asked for, and lets go of the interpreter's lock while
# it does: two threads that ask at once wait for each other for ever. Imports have a lock of their own.
ov.Type.f32.to_dtype()


class OpenVinoRuntime:
    """OpenVINO.

    Args:
        precision: `fp32`, `bf16`, or `int8` for graphs with 8-bit layers.
    """

    name: RuntimeName = "openvino"
    title = "OpenVINO"
    version = version("openvino")

    def __init__(self, precision: Precision = "fp32") -> None:
        self.precision = precision
        self._core = ov.Core()

    @property
    def capabilities(self) -> frozenset[str]:
        """What this CPU has instructions for: `FP32`, `BF16`, `INT8` and the like."""
        return frozenset(self._core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"))

    def open(self, file: Path, config: ModelConfig, threads: Sequence[int]) -> list[OpenVinoGraph]:
        """Open a file once for each number of threads."""
        model = self._core.read_model(file)
        inputs = tuple(_tensor(port, [spec.name for spec in config.inputs]) for port in model.inputs)
        outputs = tuple(_tensor(port, [spec.name for spec in config.outputs]) for port in model.outputs)
        batched = config.max_batch_size > 0
        if batched:
            # Shapes that are known run faster, and larger batches gain nothing on a CPU.
            model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
        most = max(threads)
        return [
            OpenVinoGraph(self._compiled(model, count, most // count), inputs, outputs, batched=batched)
            for count in threads
        ]

    def interrupt(self) -> OpenVinoInterrupt:
        """What ends the runs of one call."""
        return OpenVinoInterrupt()

    def _compiled(self, model: ov.Model, threads: int, at_once: int) -> ov.CompiledModel:
        options = {
            # Left to itself, OpenVINO computes in bf16 wherever the CPU has it, without a word.
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "NUM_STREAMS": at_once,
            "INFERENCE_NUM_THREADS": threads * at_once,
            # The CPUs are not ours alone: other threads of the gateway run on them, too.
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(model, _DEVICE, options)


class OpenVinoInterrupt:
    """Ends runs of OpenVINO.

    Attributes:
        ended: Whether it was asked to.
        running: The runs in progress.
    """

    __slots__ = ("ended", "running")

    def __init__(self) -> None:
        self.ended = False
        self.running: set[ov.InferRequest] = set()

    def end(self) -> None:
        """End them, each after the operator it is at."""
        self.ended = True
        for request in tuple(self.running):
            request.cancel()


class OpenVinoGraph:
    """A compiled model of OpenVINO.

    Args:
        compiled: For a batch of one, where it has batches.
        inputs: As the file has them.
        outputs: As the file has them.
        batched: Whether arrays have a batch dimension.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        inputs: Sequence[GraphTensor],
        outputs: Sequence[GraphTensor],
        *,
        batched: bool,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._compiled, self._batched = compiled, batched
        self._idle: list[ov.InferRequest] = []  # one for each thread that has ever run it at once

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], interrupt: Interrupt | None
    ) -> list[Array]:
        """Compute outputs; see `Graph.run`."""
        batch = next(iter(inputs.values())).shape[0] if self._batched and inputs else 1
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            if batch == 1:
                return self._run(request, inputs, outputs, interrupt)
            parts = [
                self._run(
                    request, {name: array[i : i + 1] for name, array in inputs.items()}, outputs, interrupt
                )
                for i in range(batch)
            ]
            return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        finally:
            self._idle.append(request)

    @staticmethod
    def _run(
        request: ov.InferRequest,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        interrupt: Interrupt | None,
    ) -> list[Array]:
        if not isinstance(interrupt, OpenVinoInterrupt):
            request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        else:
            interrupt.running.add(request)
            try:
                if interrupt.ended:
                    raise RuntimeError("the run was ended")
                request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            finally:
                interrupt.running.discard(request)
        # The request goes on to others, with its memory.
        return [np.array(request.get_tensor(name).data) for name in outputs]


def _tensor(port: Any, wanted: Sequence[str]) -> GraphTensor:
    names = port.get_names()
    name = next((each for each in wanted if each in names), port.any_name)
    element = port.get_element_type()
    try:
        dtype = np.dtype(element.to_dtype())
    except (RuntimeError, TypeError):
        dtype = None
    shape = tuple(size.get_length() if size.is_static else ANY_SIZE for size in port.partial_shape)
    return GraphTensor(name, dtype, element.get_type_name(), shape)
