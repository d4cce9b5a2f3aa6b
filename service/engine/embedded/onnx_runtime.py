"""Graphs in ONNX Runtime, on the CPU.

A file that is opened several times is prepared once: ONNX Runtime writes the graph as it optimised it for
this CPU, and its weights, into files of their own, which all sessions then map into memory. So weights are
there once, and the other sessions have nothing left to optimise. The files are deleted when all are open;
what is mapped stays. What runs need besides comes from one arena for all sessions.

What its kernels make of the weights each session makes for itself: ONNX Runtime 1.31.1 can write that, too
(`session.save_external_prepacked_constant_initializers`), but runs of grouped convolutions then end the
process with a segmentation fault.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from service.engine.base import ANY_SIZE, Array
from service.engine.embedded.model_config import ModelConfig
from service.engine.embedded.runtime import GraphTensor, Interrupt, Precision, RuntimeName
from service.engine.tensors import DTYPES_BY_ONNX_TYPE

_log = logging.getLogger(__name__)

_LOG_ERRORS_ONLY = 3

_AS_REQUESTED = 1
"""The arena takes from the system what a run asks for, and not the next power of two."""
_DEFAULT = -1

_arena_lock = threading.Lock()
_arena: list[ort.OrtArenaCfg] = []

_LEAST_BYTES = 1024
"""Of weights that are worth a place in the file of their own."""


class OnnxRuntime:
    """ONNX Runtime.

    Args:
        precision: `fp32`, or `int8` for graphs with 8-bit layers.
    """

    name: RuntimeName = "onnxruntime"
    title = "ONNX Runtime"
    version: str = ort.__version__

    def __init__(self, precision: Precision = "fp32") -> None:
        self.precision = precision
        _share_arena()

    def open(self, file: Path, config: ModelConfig, threads: Sequence[int]) -> list[OnnxGraph]:
        """Open a file once for each number of threads."""
        reason = None
        if len(threads) > 1:
            try:
                return _sharing(file, config, threads)
            except Exception as error:  # of ONNX Runtime, or of a disk: nowhere to write, or no room
                reason = str(error)
        graphs = [OnnxGraph(_session(file, _session_options(config, count))) for count in threads]
        if reason is not None:  # and not the file's fault, which would have been told by now
            _log.warning(
                "weights are not shared between sessions", extra={"model": config.name, "reason": reason}
            )
        return graphs

    def interrupt(self) -> OnnxInterrupt:
        """What ends the runs of one call."""
        return OnnxInterrupt()


class OnnxInterrupt:
    """Ends the runs of ONNX Runtime that are given its options."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options = ort.RunOptions()

    def end(self) -> None:
        """End them, each after the operator it is at."""
        self.options.terminate = True


class OnnxGraph:
    """A session of ONNX Runtime."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs = tuple(map(_tensor, session.get_inputs()))
        self.outputs = tuple(map(_tensor, session.get_outputs()))

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], interrupt: Interrupt | None
    ) -> list[Array]:
        """Compute outputs; see `Graph.run`."""
        feeds = inputs if isinstance(inputs, dict) else dict(inputs)
        options = interrupt.options if isinstance(interrupt, OnnxInterrupt) else None
        arrays: list[Array] = self._session.run(outputs, feeds, options)
        return arrays


def _share_arena() -> None:
    """Give the process an arena for all sessions, once."""
    with _arena_lock:
        if not _arena:
            _arena.append(ort.OrtArenaCfg(0, _AS_REQUESTED, _DEFAULT, _DEFAULT))
            kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
            memory = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
            ort.create_and_register_allocator(memory, _arena[0])


def _tensor(node: ort.NodeArg) -> GraphTensor:
    shape = tuple(size if isinstance(size, int) else ANY_SIZE for size in node.shape)
    return GraphTensor(node.name, DTYPES_BY_ONNX_TYPE.get(node.type), node.type, shape)


def _session(file: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(file, sess_options=options, providers=["CPUExecutionProvider"])


def _sharing(file: Path, config: ModelConfig, threads: Sequence[int]) -> list[OnnxGraph]:
    """Sessions for each number of threads that have the same weights in memory."""
    with tempfile.TemporaryDirectory(prefix="maskweave-") as folder:
        prepared = _prepare(file, config, Path(folder))
        return [OnnxGraph(_session(prepared, _prepared_options(config, count))) for count in threads]


def _prepare(file: Path, config: ModelConfig, folder: Path) -> Path:
    """Write a graph as it is optimised for this CPU, with its weights apart, into a folder."""
    prepared = folder / "model.onnx"
    options = _session_options(config, 1)
    options.optimized_model_filepath = str(prepared)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(_LEAST_BYTES)
    )
    _session(file, options)
    return prepared


def _prepared_options(config: ModelConfig, threads: int) -> ort.SessionOptions:
    options = _session_options(config, threads)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _session_options(config: ModelConfig, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    session = config.session
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = session.inter_op_threads or threads
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if session.parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    options.enable_cpu_mem_arena = session.memory_arena
    if session.memory_arena:
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = session.memory_pattern
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Threads that spin while they wait take the CPUs from the other models and from the gateway: with any
    # other work on the machine an image took four times as long (docs/decisions/0018).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
