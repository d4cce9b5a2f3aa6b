"""The one place that builds with TensorRT's Python API.

Networks are strongly typed: TensorRT computes in the types that the ONNX file holds, so what was exported in
FP32 stays in FP32. TensorRT 11 has no other networks; before, they are asked for.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.targets import BUILDER_OPTIMIZATION_LEVEL, WORKSPACE_BYTES, BatchProfile

Report = Callable[[str], None]
REPORT_SECONDS = 5.0
"""Pause between two lines about the same phase of a build."""

MISSING = (
    "TensorRT is not installed. Plans are built on the machine that will serve them, with its GPU and in the "
    "TensorRT version of its server: there, pip install 'maskweave[export,tensorrt]' 'tensorrt==VERSION.*', "
    "where `python3 -m export.plans.machine` says VERSION inside the server's container"
)


class BuildError(RuntimeError):
    """TensorRT cannot build a plan; the message is one line."""


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """A plan in memory.

    Attributes:
        content: the serialised engine.
        profiles: for every input its smallest, tuned and largest shape, batch first.
        seconds: how long building took.
    """

    content: bytes
    profiles: dict[str, tuple[tuple[int, ...], ...]]
    seconds: float


def tensorrt() -> Any:
    """TensorRT's Python module.

    Raises:
        BuildError: if it is not installed; says what to install and where.
    """
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError:
        raise BuildError(MISSING) from None
    except ImportError as error:
        raise BuildError(f"TensorRT is installed and cannot be loaded: {error}") from None


def tensorrt_version() -> str:
    """Major, minor and patch of the Python module.

    Raises:
        BuildError: as `tensorrt`.
    """
    return ".".join(str(tensorrt().__version__).split(".")[:3])


def build_plan(graph: Path, profile: BatchProfile, timing_cache: Path, report: Report) -> BuiltPlan:
    """Build a graph's plan for this machine's first GPU.

    Args:
        graph: an ONNX file; its inputs have a dynamic batch dimension and no other.
        profile: the batch sizes to build for.
        timing_cache: what TensorRT measured in earlier builds; read if it is there, and written.
        report: told lines about the progress.

    Raises:
        BuildError: if TensorRT is missing, or does not take the graph.
    """
    trt = tensorrt()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.read_bytes()):
        reasons = "; ".join(" ".join(str(parser.get_error(i)).split()) for i in range(parser.num_errors))
        raise BuildError(f"{graph}: TensorRT's parser refuses the graph: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    # TF32 has FP16's mantissa: what is exported in FP32 shall be computed in FP32.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.builder_optimization_level = BUILDER_OPTIMIZATION_LEVEL
    monitor = _progress_monitor(trt, report)
    config.progress_monitor = monitor
    profiles = _add_profile(builder, network, config, profile)
    cache = _use_timing_cache(config, timing_cache)
    began = time.monotonic()
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise BuildError(f"{graph}: TensorRT built nothing; its log above says why")
    timing_cache.write_bytes(bytes(cache.serialize()))
    return BuiltPlan(bytes(content), profiles, time.monotonic() - began)


def _network_flags(trt: Any) -> int:
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strongly_typed is None else 1 << int(strongly_typed)


def _add_profile(
    builder: Any, network: Any, config: Any, batches: BatchProfile
) -> dict[str, tuple[tuple[int, ...], ...]]:
    profile = builder.create_optimization_profile()
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        _, *fixed = tensor.shape
        shapes[tensor.name] = tuple(
            (batch, *fixed) for batch in (batches.smallest, batches.tuned, batches.largest)
        )
        profile.set_shape(tensor.name, *shapes[tensor.name])
    config.add_optimization_profile(profile)
    return shapes


def _use_timing_cache(config: Any, file: Path) -> Any:
    stored = file.read_bytes() if file.exists() else b""
    cache = config.create_timing_cache(stored)
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _progress_monitor(trt: Any, report: Report) -> Any:
    """Tells what TensorRT is at: a build of minutes that says nothing looks like a crash."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._lock = threading.Lock()  # TensorRT calls from several threads
            self._steps: dict[str, int] = {}
            self._told: dict[str, float] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._steps[phase_name] = num_steps
                self._told[phase_name] = time.monotonic()
            if parent_phase is None:
                report(f"  {phase_name}")

        def step_complete(self, phase_name: str, step: int) -> bool:
            now = time.monotonic()
            with self._lock:
                due = now - self._told.get(phase_name, now) >= REPORT_SECONDS
                if due:
                    self._told[phase_name] = now
                steps = self._steps.get(phase_name, 0)
            if due:
                report(f"  {phase_name}: {step + 1} of {steps}")
            return True  # False would cancel the build

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._steps.pop(phase_name, None)

    return Monitor()
