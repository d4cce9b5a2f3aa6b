"""Runs a repository's models one after the other, as a server would, with what this machine has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
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


class Runner:
    """A model of a repository, or an ensemble with its stages, ready to run.

    Args:
        repository: the model repository's folder.
        model: name of the model in it.
        precision: convert FP32 graphs to this first; None to run them as they are.
        aside: models beside it that are asked by themselves.
        runtime: the gateway's own runtime, in the precision that it serves; None for what this machine has.
        watch: told what each model is given.

    Attributes:
        precision: what the graphs compute in.
        engine: what runs them, in words.
        files: of the models that the gateway's runtime runs, by name.

    Raises:
        FileNotFoundError: if the model or one of its stages is missing.
        ValueError: if a config cannot be read, a graph that is to be converted is not FP32, or a plan does
            not fit this machine.
    """

    def __init__(
        self,
        repository: Path,
        model: str,
        precision: str | None = None,
        aside: tuple[str, ...] = (),
        runtime: Runtime | None = None,
        watch: Watch = lambda model, inputs: None,
    ) -> None:
        self._watch = watch
        self._repository, self._wanted, self._runtime = repository, precision, runtime
        self.files: dict[str, Path] = {}
        self._precisions: set[str] = set()
        self._engines: set[str] = set()
        self._config = read_config_file(repository / model / CONFIG)
        names = [step.model_name for step in self._config.ensemble_scheduling.step] or [model]
        self._runs = {name: self._load(name) for name in (*names, *aside)}
        self.precision = " and ".join(sorted(self._precisions))
        self.engine = " and ".join(sorted(self._engines))

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
        return self._runs[model](inputs)

    def _load(self, name: str) -> Run:
        folder = self._repository / name
        if self._runtime is not None:
            return self._as_served(folder, self._runtime)
        config = read_config_file(folder / CONFIG)
        if config.backend == GPU_PLAN.backend and importlib.util.find_spec("tensorrt"):
            return self._plan(folder, config)
        graph = with_whole_weights(onnx.load(folder / VERSION / ONNX_FILE))
        if self._wanted is not None:
            if (found := precision_of(graph)) != "fp32":
                raise ValueError(
                    f"{folder}: the graph is in {found} already, {self._wanted} is made from fp32"
                )
            graph = in_precision(with_uint8_at_edges(graph), self._wanted)
        self._precisions.add(precision_of(graph))
        return self._session(graph)

    def _as_served(self, folder: Path, runtime: Runtime) -> Run:
        """By the very code that serves."""
        diagnostics = Diagnostics()
        config = read_model_config(folder / CONFIG, diagnostics)
        diagnostics.raise_if_any()
        assert config is not None
        session = Session(folder / VERSION / config.model_filename, config, 1, runtime)
        self._precisions.add(runtime.precision)
        self._engines.add(f"{runtime.title} {runtime.version}, CPU")
        self.files[folder.name] = session.file
        names = [spec.name for spec in config.outputs]
        return lambda inputs: session.run(inputs, names)

    def _plan(self, folder: Path, config: triton.ModelConfig) -> Run:
        machine = this_machine()
        if refused := list(refusals_of_model(folder, machine)):
            raise ValueError("; ".join(map(str, refused)))
        self._precisions.add(config.parameters["maskweave.precision"].string_value)
        self._engines.add(f"TensorRT {machine.tensorrt_version}")
        return PlanRunner(folder / VERSION / config.cc_model_filenames[machine.compute_capabilities[0]])

    def _session(self, graph: onnx.ModelProto) -> Run:
        on_gpu = CUDA in ort.get_available_providers()
        engine = f"ONNX Runtime {ort.__version__}, {'GPU' if on_gpu else 'CPU'}"
        if precision_of(graph) != "fp32" and not on_gpu:
            graph = emulated(graph)
            engine += ", emulated"
        self._engines.add(engine)
        # TF32 has FP16's mantissa: without this, FP32 on a GPU would not be FP32.
        providers = [*([(CUDA, {"use_tf32": "0"})] if on_gpu else []), "CPUExecutionProvider"]
        session = ort.InferenceSession(graph.SerializeToString(), providers=providers)
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))
