"""Runs a repository's models one after the other, as a server would, with what this machine has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as triton

from export.config_file import CONFIG, read_config_file
from export.emulation import emulated
from export.halved_weights import with_whole_weights
from export.mixed_precision import in_precision, precision_of
from export.plans.check import refusals_of_model
from export.plans.machine import this_machine
from export.plans.runtime import PlanRunner
from export.targets import GPU_PLAN
from export.uint8_edges import with_uint8_at_edges
from service.core.diagnostics import Diagnostics
from service.engine.embedded.config_reader import read_model_config
from service.engine.embedded.runtime import Runtime
from service.engine.embedded.session import Session

VERSION = "1"
ONNX_FILE = "model.onnx"
CUDA = "CUDAExecutionProvider"

Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Watch = Callable[[str, Mapping[str, Array]], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can be run.

    Attributes:
        run: runs it.
        precision: what its graph computes in.
        engine: what runs it, in words.
        file: what the gateway's runtime runs; None without one.
    """

    run: Run
    precision: str
    engine: str
    file: Path | None = None


class Loader:
    """Loads a repository's models, each once: ensembles share stages.

    Args:
        repository: the model repository's folder.
        precision: convert FP32 graphs to this first; None to run them as they are.
        runtime: the gateway's own runtime, in the precision that it serves; None for what this machine has.
    """

    def __init__(
        self, repository: Path, precision: str | None = None, runtime: Runtime | None = None
    ) -> None:
        self.repository, self.runtime = repository, runtime
        self._wanted = precision
        self._loaded: dict[str, Loaded] = {}

    def load(self, name: str) -> Loaded:
        """A model, ready to run.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if its config cannot be read, its graph is to be converted and not FP32, or its plan
                does not fit this machine.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self.repository / name)
        return self._loaded[name]

    def _load(self, folder: Path) -> Loaded:
        if self.runtime is not None:
            return _as_served(folder, self.runtime)
        config = read_config_file(folder / CONFIG)
        if config.backend == GPU_PLAN.backend and importlib.util.find_spec("tensorrt"):
            return _plan(folder, config)
        graph = with_whole_weights(onnx.load(folder / VERSION / ONNX_FILE))
        if self._wanted is not None:
            if (found := precision_of(graph)) != "fp32":
                raise ValueError(
                    f"{folder}: the graph is in {found} already, {self._wanted} is made from fp32"
                )
            graph = in_precision(with_uint8_at_edges(graph), self._wanted)
        return _session(graph)


class Runner:
    """A model of a repository, or an ensemble with its stages, ready to run.

    Args:
        loader: loads it.
        model: name of the model in the loader's repository.
        aside: models beside it that are asked by themselves.
        watch: told what each model is given.

    Attributes:
        precision: what the graphs compute in.
        engine: what runs them, in words.
        files: of the models that the gateway's runtime runs, by name.

    Raises:
        FileNotFoundError: if the model or one of its stages is missing.
        ValueError: if one of them cannot be loaded.
    """

    def __init__(
        self,
        loader: Loader,
        model: str,
        aside: tuple[str, ...] = (),
        watch: Watch = lambda model, inputs: None,
    ) -> None:
        self._watch = watch
        self._config = read_config_file(loader.repository / model / CONFIG)
        names = [step.model_name for step in self._config.ensemble_scheduling.step] or [model]
        self._models = {name: loader.load(name) for name in (*names, *aside)}
        self.files = {name: each.file for name, each in self._models.items() if each.file is not None}
        self.precision = " and ".join(sorted({each.precision for each in self._models.values()}))
        self.engine = " and ".join(sorted({each.engine for each in self._models.values()}))

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of the model, and what its stages gave, for inputs by name, batch first."""
        steps = self._config.ensemble_scheduling.step
        if not steps:
            return self.ask(self._config.name, inputs)
        known = dict(inputs)
        for step in steps:
            results = self.ask(step.model_name, {key: known[name] for key, name in step.input_map.items()})
            known |= {name: results[key] for key, name in step.output_map.items()}
        return known

    def ask(self, model: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of one model, a stage or one beside them."""
        self._watch(model, inputs)
        return self._models[model].run(inputs)


def _as_served(folder: Path, runtime: Runtime) -> Loaded:
    """By the very code that serves."""
    diagnostics = Diagnostics()
    config = read_model_config(folder / CONFIG, diagnostics)
    diagnostics.raise_if_any()
    assert config is not None
    session = Session(folder / VERSION / config.model_filename, config, 1, runtime)
    names = [spec.name for spec in config.outputs]
    return Loaded(
        lambda inputs: session.run(inputs, names),
        runtime.precision,
        f"{runtime.title} {runtime.version}, CPU",
        session.file,
    )


def _plan(folder: Path, config: triton.ModelConfig) -> Loaded:
    machine = this_machine()
    if refused := list(refusals_of_model(folder, machine)):
        raise ValueError("; ".join(map(str, refused)))
    return Loaded(
        PlanRunner(folder / VERSION / config.cc_model_filenames[machine.compute_capabilities[0]]),
        config.parameters["maskweave.precision"].string_value,
        f"TensorRT {machine.tensorrt_version}",
    )


def _session(graph: onnx.ModelProto) -> Loaded:
    precision, on_gpu = precision_of(graph), CUDA in ort.get_available_providers()
    engine = f"ONNX Runtime {ort.__version__}, {'GPU' if on_gpu else 'CPU'}"
    if precision != "fp32" and not on_gpu:
        graph = emulated(graph)
        engine += ", emulated"
    # TF32 has FP16's mantissa: without this, FP32 on a GPU would not be FP32.
    providers = [*([(CUDA, {"use_tf32": "0"})] if on_gpu else []), "CPUExecutionProvider"]
    session = ort.InferenceSession(graph.SerializeToString(), providers=providers)
    names = [output.name for output in session.get_outputs()]
    return Loaded(
        lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True)), precision, engine
    )
