"""Reads a `config.pbtxt` with the protobuf that Triton itself uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from google.protobuf import text_format
from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from service.core.diagnostics import Diagnostics
from service.engine.base import ANY_SIZE, TensorSpec
from service.engine.embedded.model_config import (
    LATEST_VERSION,
    ModelConfig,
    SessionConfig,
    StepConfig,
    VersionPolicy,
    WarmupInput,
    WarmupSample,
    accepted_fields,
)
from service.engine.tensors import DTYPES

_ONNX_PLATFORM = "onnxruntime_onnx"
_ONNX_BACKEND = "onnxruntime"
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}
_MAX_THREADS = 256


def read_model_config(file: Path, diagnostics: Diagnostics) -> ModelConfig | None:
    """Read the config of the model whose directory holds `file`.

    Returns:
        The config, or None when `diagnostics` got something that makes it unusable.
    """
    message = _parse(file, diagnostics)
    if message is None:
        return None
    reader = _Reader(file, message, diagnostics)
    before = len(diagnostics.problems)
    config = reader.read()
    return config if len(diagnostics.problems) == before else None


def _parse(file: Path, diagnostics: Diagnostics) -> Any | None:
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except FileNotFoundError:
        diagnostics.add(file, "", "the file is missing", "every model directory has a config.pbtxt")
    except OSError as error:
        diagnostics.add(file, "", f"cannot be read: {error.strerror}", "a readable file")
    except UnicodeDecodeError as error:
        diagnostics.add(
            file, "", f"is not UTF-8 at byte {error.start}", "a ModelConfig in protobuf text format"
        )
    except text_format.ParseError as error:
        line = f"line {error.GetLine()}" if error.GetLine() else ""
        diagnostics.add(file, line, str(error), "a ModelConfig in protobuf text format")
    return None


class _Reader:
    """Turns one parsed message into a `ModelConfig`, noting whatever is wrong on the way."""

    def __init__(self, file: Path, message: Any, diagnostics: Diagnostics) -> None:
        self._file = file
        self._message = message
        self._diagnostics = diagnostics

    def read(self) -> ModelConfig:
        message = self._message
        self._refuse_unsupported(message, "ModelConfig")
        self._check_name()
        ensemble = self._check_kind()
        if message.max_batch_size < 0:
            self._problem("max_batch_size", f"got {message.max_batch_size}", "0 or more")
        inputs = self._tensors("input", message.input, "ModelInput")
        outputs = self._tensors("output", message.output, "ModelOutput")
        if message.model_transaction_policy.decoupled:
            self._problem("model_transaction_policy.decoupled", "got true", "false: one reply per request")
        return ModelConfig(
            file=self._file,
            name=self._file.parent.name,
            max_batch_size=message.max_batch_size,
            inputs=inputs,
            outputs=outputs,
            parameters={key: value.string_value for key, value in sorted(message.parameters.items())},
            version_policy=self._version_policy(),
            model_filename=message.default_model_filename or "model.onnx",
            session=self._session(ensemble),
            response_cache=message.response_cache.enable,
            warmups=self._warmups(inputs),
            steps=self._steps() if ensemble else (),
        )

    def _problem(self, field: str, problem: str, allowed: str | Iterable[str]) -> None:
        self._diagnostics.add(self._file, field, problem, allowed)

    def _refuse_unsupported(self, message: Message, kind: str, prefix: str = "") -> None:
        accepted = accepted_fields(kind)
        for descriptor, _ in message.ListFields():
            if descriptor.name not in accepted:
                field = prefix + descriptor.name
                self._problem(field, "is not supported by the embedded engine", "leave it out")

    def _check_name(self) -> None:
        directory = self._file.parent.name
        if self._message.name not in ("", directory):
            self._problem("name", f"got {self._message.name!r}", f"{directory!r}, the directory's name")

    def _check_kind(self) -> bool:
        """Whether this is an ensemble; a model must be one, or an ONNX model."""
        platform, backend = self._message.platform, self._message.backend
        has_steps = self._message.HasField("ensemble_scheduling")
        if platform == "ensemble" and not backend:
            if not has_steps or not self._message.ensemble_scheduling.step:
                self._problem("ensemble_scheduling.step", "got none", "one step or more")
            return True
        if has_steps:
            self._problem("platform", f"got {platform!r} with ensemble_scheduling", "'ensemble'")
            return True
        if backend not in ("", _ONNX_BACKEND):
            self._problem("backend", f"got {backend!r}", f"{_ONNX_BACKEND!r}")
        elif platform not in ("", _ONNX_PLATFORM):
            self._problem("platform", f"got {platform!r}", f"'ensemble', {_ONNX_PLATFORM!r}")
        elif not backend and not platform:
            self._problem("backend", "is missing", f"{_ONNX_BACKEND!r}")
        return False

    def _tensors(self, field: str, messages: Iterable[Any], kind: str) -> tuple[TensorSpec, ...]:
        specs: list[TensorSpec] = []
        for index, message in enumerate(messages):
            where = f"{field}[{index}]"
            self._refuse_unsupported(message, kind, f"{where}.")
            if not message.name:
                self._problem(f"{where}.name", "is missing", "the tensor's name")
            elif any(spec.name == message.name for spec in specs):
                self._problem(f"{where}.name", f"{message.name!r} stands here twice", "different names")
            if field == "output" and message.label_filename:
                self._check_label_file(f"{where}.label_filename", message.label_filename)
            spec = self._tensor(where, message.name, message)
            if spec is not None:
                specs.append(spec)
        if not specs:
            self._problem(field, "got none", "one tensor or more")
        return tuple(specs)

    def _tensor(self, where: str, name: str, message: Any) -> TensorSpec | None:
        """A tensor's spec from a message with `data_type` and `dims`."""
        type_name = model_config_pb2.DataType.Name(message.data_type)
        if type_name not in DTYPES:
            self._problem(f"{where}.data_type", f"got {type_name}", DTYPES)
            return None
        if not message.dims:
            self._problem(f"{where}.dims", "got none", "the size of each dimension but the batch's")
        for size in message.dims:
            if size != ANY_SIZE and size < 1:
                self._problem(f"{where}.dims", f"got {size}", "sizes of 1 or more, or -1 for any")
        return TensorSpec(name, DTYPES[type_name], tuple(message.dims))

    def _check_label_file(self, field: str, name: str) -> None:
        if not (self._file.parent / name).is_file():
            self._problem(field, f"there is no file {name!r}", "a file in the model's directory")

    def _version_policy(self) -> VersionPolicy:
        policy = self._message.version_policy
        choice = policy.WhichOneof("policy_choice")
        if choice == "all":
            return VersionPolicy("all")
        if choice == "specific":
            versions = tuple(sorted(set(policy.specific.versions)))
            if not versions:
                self._problem("version_policy.specific.versions", "got none", "one version or more")
            return VersionPolicy("specific", versions=versions)
        count = policy.latest.num_versions if choice == "latest" else 1
        if count < 1:
            self._problem("version_policy.latest.num_versions", f"got {count}", "1 or more")
        return VersionPolicy("latest", count=count)

    def _session(self, ensemble: bool) -> SessionConfig:
        if ensemble and self._message.instance_group:
            self._problem("instance_group", "is set on an ensemble", "leave it out: its steps have their own")
        self._check_instances()
        execution_mode = self._integer("execution_mode", 0, 1)
        return SessionConfig(
            intra_op_threads=self._integer("intra_op_thread_count", 0, _MAX_THREADS) or None,
            inter_op_threads=self._integer("inter_op_thread_count", 0, _MAX_THREADS) or None,
            parallel=bool(execution_mode),
            memory_arena=self._boolean("enable_mem_arena", default=True),
            memory_pattern=self._boolean("enable_mem_pattern", default=True),
        )

    def _check_instances(self) -> None:
        for index, group in enumerate(self._message.instance_group):
            where = f"instance_group[{index}]"
            self._refuse_unsupported(group, "ModelInstanceGroup", f"{where}.")
            kind = model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)
            if kind not in ("KIND_AUTO", "KIND_CPU"):
                self._problem(f"{where}.kind", f"got {kind}", "KIND_CPU, KIND_AUTO: this engine has no GPU")
            if group.count < 0:
                self._problem(f"{where}.count", f"got {group.count}", "1 or more")

    def _integer(self, key: str, least: int, most: int) -> int | None:
        if key not in self._message.parameters:
            return None
        text = self._message.parameters[key].string_value
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            self._problem(f'parameters["{key}"]', f"got {text!r}", f"an integer from {least} to {most}")
            return None
        return int(text)

    def _boolean(self, key: str, *, default: bool) -> bool:
        if key not in self._message.parameters:
            return default
        text = self._message.parameters[key].string_value
        if text.lower() not in _BOOLEANS:
            self._problem(f'parameters["{key}"]', f"got {text!r}", _BOOLEANS)
        return _BOOLEANS.get(text.lower(), default)

    def _warmups(self, inputs: tuple[TensorSpec, ...]) -> tuple[WarmupSample, ...]:
        return tuple(
            self._warmup(f"model_warmup[{index}]", message, inputs)
            for index, message in enumerate(self._message.model_warmup)
        )

    def _warmup(self, where: str, message: Any, inputs: tuple[TensorSpec, ...]) -> WarmupSample:
        largest = self._message.max_batch_size
        least = 1 if largest > 0 else 0
        if not least <= message.batch_size <= max(largest, 0):
            allowed = f"{least} to {largest}, as max_batch_size says" if largest > 0 else "0"
            self._problem(f"{where}.batch_size", f"got {message.batch_size}", allowed)
        names = {spec.name for spec in inputs}
        if set(message.inputs) != names:
            self._problem(
                f"{where}.inputs", f"got {', '.join(sorted(message.inputs)) or 'none'}", sorted(names)
            )
        samples = [
            sample
            for name, data in sorted(message.inputs.items())
            if (sample := self._warmup_input(f'{where}.inputs["{name}"]', name, data)) is not None
        ]
        return WarmupSample(message.name, message.batch_size, max(1, message.count), tuple(samples))

    def _warmup_input(self, where: str, name: str, message: Any) -> WarmupInput | None:
        spec = self._tensor(where, name, message)
        if spec is None:
            return None
        if ANY_SIZE in spec.shape:
            self._problem(f"{where}.dims", "got -1", "the exact sizes of the data")
        sources: dict[str | None, Literal["zero", "random", "file"]] = {
            "zero_data": "zero",
            "random_data": "random",
            "input_data_file": "file",
        }
        source = sources.get(message.WhichOneof("input_data_type"))
        if source is None:
            self._problem(where, "says nothing of the data", ("zero_data", "random_data", "input_data_file"))
            return None
        file = self._file.parent / "warmup" / message.input_data_file if source == "file" else None
        return WarmupInput(spec, source, file)

    def _steps(self) -> tuple[StepConfig, ...]:
        scheduling = self._message.ensemble_scheduling
        self._refuse_unsupported(scheduling, "ModelEnsembling", "ensemble_scheduling.")
        return tuple(
            self._step(f"ensemble_scheduling.step[{i}]", step) for i, step in enumerate(scheduling.step)
        )

    def _step(self, where: str, step: Any) -> StepConfig:
        self._refuse_unsupported(step, "Step", f"{where}.")
        # An unset version is 0 on the wire; Triton takes it for the newest as well.
        version = step.model_version or LATEST_VERSION
        if version < LATEST_VERSION:
            self._problem(f"{where}.model_version", f"got {version}", "-1 for the newest, or a version")
        return StepConfig(step.model_name, version, dict(step.input_map), dict(step.output_map))
