"""Stands in for TensorRT's Python module, to see what we ask of it. It builds nothing and proves no plan."""

from __future__ import annotations

import enum
import types
from pathlib import Path
from typing import Any

import onnx


class _Flag(enum.IntEnum):
    STRONGLY_TYPED = 1


class TensorRTDouble(types.ModuleType):
    """Takes the calls of a build and remembers them.

    Attributes:
        calls: (name, arguments) of every call that matters, in order.
        timing_caches: what timing caches were made of.
        builds: how many more builds succeed.
        refused: what the parser says, if it refuses graphs.
    """

    def __init__(self, version: str = "10.13.3.9", *, strongly_typed_flag: bool = True) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.calls: list[tuple[str, Any]] = []
        self.timing_caches: list[bytes] = []
        self.builds = 1000
        self.refused: str | None = None
        self.NetworkDefinitionCreationFlag = _Flag if strongly_typed_flag else enum.IntEnum("Flag", {})
        self.MemoryPoolType = types.SimpleNamespace(WORKSPACE="workspace")
        self.BuilderFlag = types.SimpleNamespace(TF32="tf32")
        self.IProgressMonitor = _ProgressMonitor
        self.Logger = _Logger
        self.Builder = lambda logger: _Builder(self)
        self.OnnxParser = lambda network, logger: _Parser(self, network)

    def arguments(self, name: str) -> list[Any]:
        """What a call was given, each time."""
        return [arguments for called, arguments in self.calls if called == name]


class _ProgressMonitor:
    def __init__(self) -> None:
        self.initialised = True


class _Logger:
    WARNING = 2

    def __init__(self, severity: int) -> None:
        assert severity == self.WARNING


class _Network:
    def __init__(self) -> None:
        self.inputs: list[Any] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, place: int) -> Any:
        return self.inputs[place]


class _Parser:
    def __init__(self, trt: TensorRTDouble, network: _Network) -> None:
        self._trt, self._network = trt, network

    @property
    def num_errors(self) -> int:
        return 0 if self._trt.refused is None else 1

    def get_error(self, place: int) -> str:
        assert self._trt.refused is not None
        return self._trt.refused

    def parse(self, content: bytes) -> bool:
        for value in onnx.load_from_string(content).graph.input:
            shape = [size.dim_value or -1 for size in value.type.tensor_type.shape.dim]
            self._network.inputs.append(types.SimpleNamespace(name=value.name, shape=tuple(shape)))
        return self._trt.refused is None


class _TimingCache:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> bytes:
        return self._content + b"+"


class _Config:
    _trt: TensorRTDouble

    def __init__(self, trt: TensorRTDouble) -> None:
        object.__setattr__(self, "_trt", trt)

    def __setattr__(self, name: str, value: Any) -> None:
        self._trt.calls.append((name, value))
        object.__setattr__(self, name, value)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self._trt.calls.append(("set_memory_pool_limit", (pool, size)))

    def clear_flag(self, flag: str) -> None:
        self._trt.calls.append(("clear_flag", flag))

    def create_timing_cache(self, content: bytes) -> _TimingCache:
        self._trt.timing_caches.append(content)
        return _TimingCache(content)

    def set_timing_cache(self, cache: _TimingCache, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return not cache.serialize().startswith(b"of another GPU")

    def add_optimization_profile(self, profile: Any) -> None:
        self._trt.calls.append(("add_optimization_profile", profile.shapes))


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Any, ...]] = {}

    def set_shape(self, name: str, smallest: Any, tuned: Any, largest: Any) -> None:
        self.shapes[name] = (smallest, tuned, largest)


class _Builder:
    def __init__(self, trt: TensorRTDouble) -> None:
        self._trt = trt

    def create_network(self, flags: int) -> _Network:
        self._trt.calls.append(("create_network", flags))
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config(self._trt)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: Any) -> bytes | None:
        self._trt.builds -= 1
        monitor = config.progress_monitor
        assert monitor.initialised
        monitor.phase_start("Building Engine", None, 2)
        monitor.phase_start("Tactics", "Building Engine", 2)
        assert monitor.step_complete("Tactics", 0)
        monitor.phase_finish("Tactics")
        monitor.phase_finish("Building Engine")
        return None if self._trt.builds < 0 else b"a plan for " + network.inputs[0].name.encode()


def fake_nvidia_smi(folder: Path, capability: str, gpu: str = "NVIDIA H100 80GB HBM3") -> None:
    """An `nvidia-smi` in a folder that is to be put on PATH; it answers the two questions we ask."""
    tool = folder / "nvidia-smi"
    answers = f'*compute_cap*) printf "{capability}\\n";; *name*) echo "{gpu}";; *) exit 2;;'
    tool.write_text(f'#!/bin/sh\ncase "$1" in {answers} esac\n')
    tool.chmod(0o755)
