"""PyTorch's exporter takes seconds for a graph, and always gives the same one of the same stage."""

from __future__ import annotations

import functools
import gc
import hashlib
import re
import shutil
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from export.onnx_graph import write_onnx
from export.stages import Stage
from tests.support.made_once import ROOT, kept
from tests.support.torchlib_once import torchlib_read_once

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@contextmanager
def each_graph_once(factory: pytest.TempPathFactory) -> Iterator[None]:
    """In this context repositories get graphs that were exported before, of stages that are the same."""

    def write_once(stage: Stage, example: tuple[torch.Tensor, ...], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(graph_of(factory, stage, example), path)

    with torchlib_read_once(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.repository.write_onnx", write_once)
        yield


def graph_of(factory: pytest.TempPathFactory, stage: Stage, example: tuple[torch.Tensor, ...]) -> Path:
    """A stage's graph, as `write_onnx` writes it; nobody changes the file."""
    # As `write_onnx` does. Whether a module is in training tells stages apart, and stages share modules:
    # otherwise the name would depend on what the process has exported before.
    stage.module.eval()

    def write(folder: Path) -> None:
        # The exporter makes millions of small objects: looking for cycles among them takes a quarter as long.
        gc.disable()
        try:
            write_onnx(stage, example, folder / "model.onnx")
        finally:
            gc.enable()

    return kept(factory, f"graph-{stage.name}-{content(stage, example)}", write) / "model.onnx"


def content(stage: Stage, example: tuple[torch.Tensor, ...]) -> str:
    """What tells a stage from others whose code is the same: weights, settings, edges, examples."""
    seen = _Seen()
    for spec in (*stage.inputs, *stage.outputs):
        seen.add((spec.name, spec.dtype, spec.shape))
    seen.add((example, stage.module))
    return seen.digest.hexdigest()[:32]


class _Seen:
    """A digest of values and of all that they refer to."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._objects = dict[int, object]()

    def add(self, value: object) -> None:
        if isinstance(value, torch.Tensor):
            self._tell(f"{value.dtype} {tuple(value.shape)}")
            value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        if isinstance(value, np.ndarray):
            self._tell(f"{value.dtype} {value.shape}")
            self.digest.update(value.tobytes())
        elif isinstance(value, Mapping):
            self.add([*value.items()])
        elif isinstance(value, (list, tuple)):
            self._tell(f"{len(value)}")
            for each in value:
                self.add(each)
        elif isinstance(value, (set, frozenset)):
            self._tell(f"{sorted(map(repr, value))}")
        elif isinstance(value, types.FunctionType):
            self._tell(f"{value.__module__} {value.__qualname__} {value.__code__.co_firstlineno}")
            self.add((value.__defaults__, [cell.cell_contents for cell in value.__closure__ or ()]))
        elif isinstance(value, types.MethodType):
            self.add((value.__func__, value.__self__))
        elif isinstance(value, functools.partial):
            self.add((value.func, value.args, value.keywords))
        elif isinstance(value, (type, types.ModuleType)) or not (fields := _fields(value)):
            self._tell(repr(value))
        elif id(value) not in self._objects:
            self._objects[id(value)] = value
            self._tell(f"{type(value).__qualname__} {_code_of_tests(type(value).__module__)}")
            self.add(fields)

    def _tell(self, text: str) -> None:
        self.digest.update(f"{_ADDRESS.sub('', text)}\n".encode())


@functools.cache
def _code_of_tests(module: str) -> str:
    """A digest of a module of the tests; nothing of others, which are sources or packages anyway."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    if not Path(file).is_relative_to(ROOT / "tests"):
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:32]


def _fields(value: object) -> dict[str, object]:
    names = {*getattr(value, "__dict__", ())}
    names |= {name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())}
    return {name: getattr(value, name) for name in sorted(names) if hasattr(value, name)}
