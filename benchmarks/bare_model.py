"""The models of a pack run by ONNX Runtime alone: what a service around them is measured against.

The same files, the same wiring and the same thread settings as served, read from the model repository, with
nothing else in between: no network, no codecs, no scheduling.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class BareRun:
    """One pass through an ensemble.

    Attributes:
        outputs: The ensemble's outputs by name, with the batch dimension.
        stage_seconds: Duration of each stage's call, in the order of execution.
    """

    outputs: Arrays
    stage_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Duration of all stages together."""
        return sum(self.stage_seconds.values())


class BareEnsemble:
    """An ensemble of a model repository, its stages called one after the other in the caller's thread."""

    def __init__(self, repository: Path, ensemble: str, *, threads: int) -> None:
        """Load the ensemble's stages.

        Args:
            repository: A Triton model repository.
            ensemble: Name of an ensemble in it, for example `faces64_label_map`.
            threads: Threads of one operator, where a stage's config does not say.

        Raises:
            FileNotFoundError: When a model of it is missing.
            ValueError: When its steps cannot be put into an order.
        """
        self._config = read_config(repository, ensemble)
        self._steps = steps_in_order(self._config)
        self._sessions = {
            step.model_name: _session(repository, step.model_name, threads) for step in self._steps
        }

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input of the ensemble, without the batch dimension."""
        return {each.name: tuple(each.dims) for each in self._config.input}

    def run(self, inputs: Arrays) -> BareRun:
        """Run all stages once.

        Args:
            inputs: The ensemble's inputs by name, with the batch dimension.
        """
        tensors = dict(inputs)
        stage_seconds = {}
        for step in self._steps:
            feed = {name: tensors[tensor] for name, tensor in step.input_map.items()}
            started = time.perf_counter()
            results = self._sessions[step.model_name].run(list(step.output_map), feed)
            stage_seconds[step.model_name] = time.perf_counter() - started
            tensors.update(zip(step.output_map.values(), results, strict=True))
        return BareRun({each.name: tensors[each.name] for each in self._config.output}, stage_seconds)

    def throughput(self, inputs: Arrays, *, threads: int, seconds: float) -> float:
        """Passes per second when `threads` threads call the ensemble in a loop for `seconds`."""
        counts = [0] * threads
        end = time.perf_counter() + seconds

        def loop(index: int) -> None:
            while time.perf_counter() < end:
                self.run(inputs)
                counts[index] += 1

        started = time.perf_counter()
        workers = [threading.Thread(target=loop, args=(index,)) for index in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(counts) / (time.perf_counter() - started)


def read_config(repository: Path, model: str) -> model_config_pb2.ModelConfig:
    """The config.pbtxt of a model of a repository."""
    text = (repository / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def model_file(repository: Path, model: str) -> Path:
    """The ONNX file of the newest version of a model."""
    folder = repository / model
    newest = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    return folder / str(newest) / (read_config(repository, model).default_model_filename or "model.onnx")


def steps_in_order(ensemble: model_config_pb2.ModelConfig) -> list[model_config_pb2.ModelEnsembling.Step]:
    """The steps, each after those whose outputs it reads."""
    known = {each.name for each in ensemble.input}
    waiting = list(ensemble.ensemble_scheduling.step)
    ordered = []
    while waiting:
        ready = [step for step in waiting if known.issuperset(step.input_map.values())]
        if not ready:
            raise ValueError(f"{ensemble.name}: no step can run next of {[s.model_name for s in waiting]}")
        for step in ready:
            known.update(step.output_map.values())
            waiting.remove(step)
        ordered += ready
    return ordered


def _session(repository: Path, model: str, threads: int) -> onnxruntime.InferenceSession:
    config = read_config(repository, model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _thread_count(config, "intra_op_thread_count") or threads
    options.inter_op_num_threads = _thread_count(config, "inter_op_thread_count") or threads
    # As the embedded engine does: threads that spin while they wait flatter a machine that does nothing else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    file = model_file(repository, model)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _thread_count(config: model_config_pb2.ModelConfig, key: str) -> int:
    """The count that a config sets under a name of Triton's onnxruntime backend; 0 when it leaves it open."""
    return int(config.parameters[key].string_value or 0) if key in config.parameters else 0


def example_inputs(models: BareEnsemble, label_map: NDArray[np.uint8], latent_scale: float) -> Arrays:
    """Inputs of an ensemble that takes a label map, a latent and the style strength.

    Args:
        models: The ensemble.
        label_map: Class ids `[H, W]` in the ensemble's own size.
        latent_scale: Standard deviation of the latent.
    """
    shapes = models.input_shapes
    random = np.random.RandomState(1)
    return {
        "LABEL_MAP": label_map[None],
        "LATENT": (random.standard_normal((1, *shapes["LATENT"])) * latent_scale).astype(np.float32),
        "STYLE_STRENGTH": np.full((1, *shapes["STYLE_STRENGTH"]), 0.5, np.float32),
    }
