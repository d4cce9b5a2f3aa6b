"""One version of one ONNX model in ONNX Runtime: opened, checked against its config, run.

A model is opened twice, as no session of ONNX Runtime can be told for a run how many threads to use: with
one thread for each CPU, for a machine that has nothing else to do, and with the calling thread alone, for one
whose other CPUs make other images meanwhile. Threads that share an operator cost more CPU time than one that
does all of it, so that under load they would make fewer images in all, and each of them later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from service.core.diagnostics import Diagnostics
from service.core.errors import EngineFailure
from service.engine.base import ANY_SIZE, Array, TensorSpec
from service.engine.embedded.model_config import ModelConfig
from service.engine.tensors import (
    DTYPES_BY_ONNX_TYPE,
    full_shape,
    shape_text,
    shapes_agree,
    triton_name,
)

_LOG_ERRORS_ONLY = 3


class Session:
    """A model in ONNX Runtime on the CPU. `run` may be called from several threads at once.

    Args:
        file: The ONNX file.
        config: What the file is expected to be, and how to run it.
        threads: CPUs that an operator may use where the machine has nothing else to do. Where the config
            says how many threads an operator uses, it uses these, always.

    Raises:
        Exception: Whatever ONNX Runtime raises for a file it cannot load; it has no common base.
    """

    def __init__(self, file: Path, config: ModelConfig, threads: int) -> None:
        self.name = config.name
        self.version = int(file.parent.name)
        self._file = file
        self._config = config
        self._shapes = {spec.name: spec.shape for spec in config.outputs}
        fixed = config.session.intra_op_threads
        self._session = self._wide = _open(file, config, fixed or threads)
        if not fixed and threads > 1:
            self._session = _open(file, config, 1)

    def check(self, diagnostics: Diagnostics) -> None:
        """Compare the file's inputs and outputs with the config's."""
        found_inputs = {node.name: node for node in self._session.get_inputs()}
        found_outputs = {node.name: node for node in self._session.get_outputs()}
        self._check("input", self._config.inputs, found_inputs, diagnostics)
        self._check("output", self._config.outputs, found_outputs, diagnostics)
        declared = {spec.name for spec in self._config.inputs}
        for name in sorted(found_inputs.keys() - declared):
            problem = f"input {name!r} of {self._file} is missing"
            diagnostics.add(self._config.file, "input", problem, f"all of {', '.join(found_inputs)}")

    def _check(
        self, field: str, specs: Sequence[TensorSpec], found: Mapping[str, Any], diagnostics: Diagnostics
    ) -> None:
        for index, spec in enumerate(specs):
            where = f"{field}[{index}]"
            node = found.get(spec.name)
            if node is None:
                problem = f"{self._file} has no {field} {spec.name!r}"
                diagnostics.add(self._config.file, f"{where}.name", problem, found)
                continue
            dtype = DTYPES_BY_ONNX_TYPE.get(node.type)
            if dtype != spec.dtype:
                allowed = f"{triton_name(dtype) if dtype else node.type}, as in {self._file}"
                problem = f"{spec.name!r} is {triton_name(spec.dtype)} here"
                diagnostics.add(self._config.file, f"{where}.data_type", problem, allowed)
            self._check_shape(where, spec, node.shape, diagnostics)

    def _check_shape(
        self, where: str, spec: TensorSpec, found: Sequence[int | str | None], diagnostics: Diagnostics
    ) -> None:
        actual = tuple(size if isinstance(size, int) else ANY_SIZE for size in found)
        declared = full_shape(spec, self._config.max_batch_size)
        if self._config.max_batch_size and actual[:1] not in ((ANY_SIZE,), ()):
            # Only a model with a batch of 1 frozen into it can do with a fixed first dimension.
            if (actual[0], self._config.max_batch_size) != (1, 1):
                problem = f"{self._config.max_batch_size} or fewer, but {spec.name!r} is {shape_text(actual)}"
                allowed = f"a first dimension of any size in {self._file}"
                diagnostics.add(self._config.file, "max_batch_size", problem, allowed)
                return
            actual = (ANY_SIZE, *actual[1:])
        # The config may fix what the file leaves open, but may not promise more than the file takes.
        narrower = all(a == ANY_SIZE or d != ANY_SIZE for a, d in zip(actual, declared, strict=False))
        if not (narrower and shapes_agree(actual, declared)):
            batch = 1 if self._config.max_batch_size else 0
            problem = f"{spec.name!r} is {shape_text(spec.shape)} here"
            allowed = f"{shape_text(actual[batch:])}, as in {self._file}"
            diagnostics.add(self._config.file, f"{where}.dims", problem, allowed)

    def run(
        self,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        options: ort.RunOptions | None = None,
        *,
        wide: bool = True,
    ) -> dict[str, Array]:
        """Compute `outputs`; blocks, and lets go of the GIL meanwhile.

        Args:
            inputs: Every input, as the config says.
            outputs: One output or more.
            options: Setting its `terminate` from another thread ends the run after the operator it is at.
            wide: Use all CPUs for each operator; else the calling thread alone.

        Returns:
            Read-only arrays.

        Raises:
            EngineFailure: ONNX Runtime failed, or an output is not of the shape the config says.
        """
        try:
            feeds = inputs if isinstance(inputs, dict) else dict(inputs)
            session = self._wide if wide else self._session
            arrays: list[Array] = session.run(outputs, feeds, options)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise EngineFailure(f"{self.name} version {self.version} failed: {error}") from error
        batch = next(iter(inputs.values())).shape[:1] if self._config.max_batch_size else ()
        results = dict(zip(outputs, arrays, strict=True))
        for name, array in results.items():
            expected = batch + self._shapes[name]
            if array.shape != expected and not shapes_agree(array.shape, expected):
                found, allowed = shape_text(array.shape), shape_text(expected)
                raise EngineFailure(f"{self.name} gave {name} of shape {found}, not {allowed}")
            array.flags.writeable = False  # it may be shared through the response cache
        return results

    def warm_up(self, inputs: Mapping[str, Array]) -> None:
        """Run on one thread once, where that is another session than the one that runs alone.

        Raises:
            EngineFailure: ONNX Runtime failed.
        """
        if self._session is self._wide:
            return
        try:
            self._session.run(None, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise EngineFailure(f"{self.name} version {self.version} failed: {error}") from error


def _open(file: Path, config: ModelConfig, threads: int) -> ort.InferenceSession:
    options = _session_options(config, threads)
    return ort.InferenceSession(file, sess_options=options, providers=["CPUExecutionProvider"])


def _session_options(config: ModelConfig, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    session = config.session
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = session.inter_op_threads or threads
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if session.parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    options.enable_cpu_mem_arena = session.memory_arena
    options.enable_mem_pattern = session.memory_pattern
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Threads that spin while they wait take the CPUs from the other models and from the gateway: with any
    # other work on the machine an image took four times as long (docs/decisions/0018).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
