"""One model's `config.pbtxt` as the embedded engine understands it: plain frozen values.

The tables say what the engine makes of each field. A field that is set and stands in neither set of its
message is refused by name: a config must not promise what the engine does not do. An ignored field changes
how fast a GPU server is, never what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from service.engine.base import TensorSpec

LATEST_VERSION = -1
"""A step's `model_version` that means the newest version loaded."""


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions of a model are loaded.

    Attributes:
        kind: The newest `count`, all of them, or exactly `versions`.
        count: For `latest`.
        versions: For `specific`.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How ONNX Runtime runs a model; None leaves the choice to the engine.

    Attributes:
        intra_op_threads: Threads that share the work of one operator; None for as many as are idle.
        inter_op_threads: Threads that run operators side by side, in parallel mode.
        parallel: Whether independent operators run side by side.
        memory_arena: Whether freed memory is kept for the next run.
        memory_pattern: Whether allocations are planned from the first run of a shape.
    """

    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    parallel: bool = False
    memory_arena: bool = True
    memory_pattern: bool = True


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """Data of one input of a warm-up request.

    Attributes:
        spec: Name, dtype and concrete shape, without the batch dimension.
        source: Zeros, random values, or the bytes of `file`.
        file: Path of the raw little-endian data, for `file`.
    """

    spec: TensorSpec
    source: Literal["zero", "random", "file"]
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class WarmupSample:
    """One warm-up request, sent `count` times before the model is ready."""

    name: str
    batch_size: int
    count: int
    inputs: tuple[WarmupInput, ...]


@dataclass(frozen=True, slots=True)
class StepConfig:
    """One step of an ensemble.

    Attributes:
        model: The model it runs.
        version: Version of that model, or `LATEST_VERSION`.
        inputs: Ensemble tensor by the model's input.
        outputs: Ensemble tensor by the model's output.
    """

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole config.

    Attributes:
        file: Where it was read from, for messages.
        name: The model's name, that of its directory.
        max_batch_size: Largest batch; 0 when arrays have no batch dimension.
        inputs: Inputs in the order of the file.
        outputs: Outputs in the order of the file.
        parameters: `parameters` as strings.
        version_policy: Which versions are loaded.
        model_filename: Name of the model file in a version's directory.
        session: How ONNX Runtime runs it.
        response_cache: Whether outputs are kept for repeated inputs.
        warmups: Requests to run before the model is ready.
        steps: An ensemble's steps in the order of the file; empty for a single model.
    """

    file: Path
    name: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: Mapping[str, str]
    version_policy: VersionPolicy
    model_filename: str
    session: SessionConfig
    response_cache: bool
    warmups: tuple[WarmupSample, ...]
    steps: tuple[StepConfig, ...]

    @property
    def is_ensemble(self) -> bool:
        """Whether this model is a dataflow graph of other models."""
        return bool(self.steps)


HONOURED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ModelConfig": frozenset(
            {
                "name",
                "platform",
                "backend",
                "version_policy",
                "max_batch_size",
                "input",
                "output",
                "ensemble_scheduling",
                "instance_group",
                "default_model_filename",
                "parameters",
                "model_warmup",
                "model_transaction_policy",
                "response_cache",
            }
        ),
        "ModelInput": frozenset({"name", "data_type", "dims"}),
        "ModelOutput": frozenset({"name", "data_type", "dims", "label_filename"}),
        "ModelInstanceGroup": frozenset({"name", "kind"}),
        "Step": frozenset({"model_name", "model_version", "input_map", "output_map"}),
        "ModelEnsembling": frozenset({"step"}),
        "ModelTransactionPolicy": frozenset(),
    }
)
"""Fields the engine acts on, by the message they belong to."""

IGNORED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ModelConfig": {
            "dynamic_batching": "batching (and the queue priorities in it) buys nothing on a CPU",
            "optimization": "accelerators and CUDA options belong to a GPU server",
            "cc_model_filenames": "chooses a file by the GPU's compute capability",
            "metric_tags": "labels of Triton's own metrics",
            "model_metrics": "buckets of Triton's own metrics",
        },
        "ModelInput": {"format": "only tells a client how to lay out an image"},
        "ModelInstanceGroup": {"count": "one copy of a model serves all workers, as many as there are CPUs"},
        "ModelEnsembling": {
            "max_inflight_requests": "admission in the gateway bounds the requests in flight"
        },
    }
)
"""Fields that are accepted without effect, by message, each with the reason."""


def accepted_fields(message: str) -> frozenset[str]:
    """Names of the fields of a message that a config may set."""
    return HONOURED[message] | frozenset(IGNORED.get(message, ()))
