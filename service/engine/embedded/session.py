"""One version of one ONNX model: opened, checked against its config, run.

A model is opened twice, as no runtime can be told for a single run how many threads to use: with one thread
for each CPU, for a machine that has nothing else to do, and with one alone, for a machine whose other CPUs
make other images meanwhile. Threads that share an operator cost more CPU time than one that does all of it,
so that under load they would make fewer images in all, and each of them later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from service.core.diagnostics import Diagnostics
from service.core.errors import EngineFailure
from service.engine.base import ANY_SIZE, Array, TensorSpec
from service.engine.embedded.model_config import ModelConfig
from service.engine.embedded.runtime import GraphTensor, Interrupt, Runtime, graph_file
from service.engine.tensors import full_shape, shape_text, shapes_agree, triton_name


class Session:
    """A model in a runtime, on the CPU. `run` may be called from several threads at once.

    Args:
        file: The ONNX file.
        config: What the file is expected to be, and how to run it.
        threads: CPUs that an operator may use where the machine has nothing else to do. Where the config
            says how many threads an operator uses, it uses these, always.
        runtime: What opens and runs it.

    Attributes:
        file: What is run: the ONNX file, or the one beside it in the runtime's precision.

    Raises:
        Exception: Whatever the runtime raises for a file it cannot load; it has no common base.
    """

    def __init__(self, file: Path, config: ModelConfig, threads: int, runtime: Runtime) -> None:
        self.name = config.name
        self.version = int(file.parent.name)
        self.file = graph_file(file, runtime.precision)
        self._config = config
        self._shapes = {spec.name: spec.shape for spec in config.outputs}
        fixed = config.session.intra_op_threads
        counts = (threads, 1) if not fixed and threads > 1 else (fixed or threads,)
        graphs = runtime.open(self.file, config, counts)
        self._wide, self._narrow = graphs[0], graphs[-1]

    def check(self, diagnostics: Diagnostics) -> None:
        """Compare the file's inputs and outputs with the config's."""
        found_inputs = {node.name: node for node in self._narrow.inputs}
        found_outputs = {node.name: node for node in self._narrow.outputs}
        self._check("input", self._config.inputs, found_inputs, diagnostics)
        self._check("output", self._config.outputs, found_outputs, diagnostics)
        declared = {spec.name for spec in self._config.inputs}
        for name in sorted(found_inputs.keys() - declared):
            problem = f"input {name!r} of {self.file} is missing"
            diagnostics.add(self._config.file, "input", problem, f"all of {', '.join(found_inputs)}")

    def _check(
        self,
        field: str,
        specs: Sequence[TensorSpec],
        found: Mapping[str, GraphTensor],
        diagnostics: Diagnostics,
    ) -> None:
        for index, spec in enumerate(specs):
            where = f"{field}[{index}]"
            node = found.get(spec.name)
            if node is None:
                problem = f"{self.file} has no {field} {spec.name!r}"
                diagnostics.add(self._config.file, f"{where}.name", problem, found)
                continue
            if node.dtype != spec.dtype:
                found_type = triton_name(node.dtype) if node.dtype else node.type_text
                allowed = f"{found_type}, as in {self.file}"
                problem = f"{spec.name!r} is {triton_name(spec.dtype)} here"
                diagnostics.add(self._config.file, f"{where}.data_type", problem, allowed)
            self._check_shape(where, spec, node.shape, diagnostics)

    def _check_shape(
        self, where: str, spec: TensorSpec, actual: tuple[int, ...], diagnostics: Diagnostics
    ) -> None:
        declared = full_shape(spec, self._config.max_batch_size)
        if self._config.max_batch_size and actual[:1] not in ((ANY_SIZE,), ()):
            # Only a model with a batch of 1 frozen into it can do with a fixed first dimension.
            if (actual[0], self._config.max_batch_size) != (1, 1):
                problem = f"{self._config.max_batch_size} or fewer, but {spec.name!r} is {shape_text(actual)}"
                allowed = f"a first dimension of any size in {self.file}"
                diagnostics.add(self._config.file, "max_batch_size", problem, allowed)
                return
            actual = (ANY_SIZE, *actual[1:])
        # The config may fix what the file leaves open, but may not promise more than the file takes.
        narrower = all(a == ANY_SIZE or d != ANY_SIZE for a, d in zip(actual, declared, strict=False))
        if not (narrower and shapes_agree(actual, declared)):
            batch = 1 if self._config.max_batch_size else 0
            problem = f"{spec.name!r} is {shape_text(spec.shape)} here"
            allowed = f"{shape_text(actual[batch:])}, as in {self.file}"
            diagnostics.add(self._config.file, f"{where}.dims", problem, allowed)

    def run(
        self,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        interrupt: Interrupt | None = None,
        *,
        wide: bool = True,
    ) -> dict[str, Array]:
        """Compute `outputs`; blocks, and lets go of the GIL meanwhile.

        Args:
            inputs: Every input, as the config says.
            outputs: One output or more.
            interrupt: From the runtime; ends the run from another thread.
            wide: Use all CPUs for each operator; else one alone.

        Returns:
            Read-only arrays.

        Raises:
            EngineFailure: The runtime failed, or an output is not of the shape the config says.
        """
        graph = self._wide if wide else self._narrow
        try:
            arrays = graph.run(inputs, outputs, interrupt)
        except Exception as error:  # runtimes' exceptions have no common base
            raise self._failure(error) from error
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
        """Run on one thread once, where that is another graph than the one that runs alone.

        Raises:
            EngineFailure: The runtime failed.
        """
        if self._narrow is not self._wide:
            try:
                self._narrow.run(inputs, list(self._shapes), None)
            except Exception as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> EngineFailure:
        return EngineFailure(f"{self.name} version {self.version} failed: {error}")
