"""Turns the dataflow graph of an ensemble into what runs: an ordered list of steps.

A step can run once every tensor it reads has been written, by the caller or by another step.
Everything that could go wrong between two steps is found here, before anything runs, but for sizes that the
configs leave open: a step that reads such a tensor is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from service.core.diagnostics import Diagnostics
from service.engine.base import ANY_SIZE, TensorSpec
from service.engine.embedded.model_config import LATEST_VERSION, ModelConfig, StepConfig
from service.engine.embedded.repository import ModelEntry, Repository
from service.engine.tensors import full_shape, shape_text, shapes_agree, triton_name


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, ready to run.

    Attributes:
        model: The model it runs.
        version: The version of that model.
        inputs: Ensemble tensor by the model's input.
        outputs: Ensemble tensor by the model's output; only those that somebody reads.
        checked: Whether its inputs must be checked when it runs: the configs do not prove their sizes.
    """

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    checked: bool


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """The steps of an ensemble in the order in which they run, each after those it depends on."""

    steps: tuple[PlannedStep, ...]


class _Writer(NamedTuple):
    """Where an ensemble tensor comes from: a field of the config, and the step (None: the caller)."""

    field: str
    step: int | None
    spec: TensorSpec
    shape: tuple[int, ...]


def plan_ensemble(
    config: ModelConfig, repository: Repository, diagnostics: Diagnostics
) -> EnsemblePlan | None:
    """Check an ensemble against the models it is made of, and order its steps.

    Args:
        config: The ensemble.
        repository: The models its steps may name.
        diagnostics: Gets every problem, naming the step, the map and the tensor.

    Returns:
        The plan, or None when there is a problem in the ensemble or in a model it names.
    """
    return _Planner(config, repository, diagnostics).plan()


def check_nesting(entries: Mapping[str, ModelEntry], diagnostics: Diagnostics) -> None:
    """Refuse ensembles that contain themselves, directly or through one another."""
    graph = {name: [step.model for step in entry.config.steps] for name, entry in entries.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path = error.args[1][::-1]  # graphlib lists each node before the one that depends on it
        config = entries[path[0]].config
        problem = f"the ensemble contains itself: {' -> '.join(path)}"
        diagnostics.add(config.file, "ensemble_scheduling.step", problem, "steps that do not lead back to it")


class _Planner:
    def __init__(self, config: ModelConfig, repository: Repository, diagnostics: Diagnostics) -> None:
        self._config = config
        self._repository = repository
        self._diagnostics = diagnostics
        self._entries: list[ModelEntry] = []
        self._writers: dict[str, _Writer] = {}
        self._read: set[str] = set()

    def plan(self) -> EnsemblePlan | None:
        config = self._config
        before = len(self._diagnostics.problems)
        if not self._find_models():
            return None
        for index, spec in enumerate(config.inputs):
            self._write(spec.name, f"input[{index}]", None, spec, config.max_batch_size)
        for index, step in enumerate(config.steps):
            self._check_outputs(index, step, self._entries[index].config)
        for index, step in enumerate(config.steps):
            self._check_inputs(index, step, self._entries[index].config)
        for index, spec in enumerate(config.outputs):
            self._read_tensor(spec.name, f"output[{index}]", spec, config.max_batch_size)
        self._check_use()
        order = self._order()
        if order is None or len(self._diagnostics.problems) > before:
            return None
        return self._ordered_plan(order)

    def _problem(self, field: str, problem: str, allowed: str | Iterable[str]) -> None:
        self._diagnostics.add(self._config.file, field, problem, allowed)

    def _find_models(self) -> bool:
        """Look up the model and version of each step; False when that makes checking on pointless."""
        for index, step in enumerate(self._config.steps):
            where = _step_field(index)
            if step.model not in self._repository.names:
                others = sorted(self._repository.names - {self._config.name})
                self._problem(f"{where}.model_name", f"there is no model {step.model!r}", others)
                continue
            entry = self._repository.entries.get(step.model)
            if entry is None:  # it has problems of its own, already noted
                continue
            if step.version not in (LATEST_VERSION, *entry.versions):
                loaded = ", ".join(map(str, entry.versions))
                problem = f"version {step.version} of {step.model!r} is not loaded"
                self._problem(f"{where}.model_version", problem, f"-1 for the newest, {loaded}")
                continue
            self._check_batch(where, entry.config)
            self._entries.append(entry)
        return len(self._entries) == len(self._config.steps)

    def _check_batch(self, where: str, model: ModelConfig) -> None:
        if 0 < model.max_batch_size < self._config.max_batch_size:
            problem = f"{model.name!r} takes batches of {model.max_batch_size}"
            allowed = f"models whose max_batch_size is the ensemble's {self._config.max_batch_size} or more"
            self._problem(f"{where}.model_name", problem, allowed)

    def _check_outputs(self, index: int, step: StepConfig, model: ModelConfig) -> None:
        specs = {spec.name: spec for spec in model.outputs}
        if not step.outputs:
            self._problem(
                f"{_step_field(index)}.output_map", "is empty", f"outputs of {model.name!r}: {_names(specs)}"
            )
        for name, tensor in step.outputs.items():
            field = f'{_step_field(index)}.output_map["{name}"]'
            if name not in specs:
                self._problem(field, f"{model.name!r} has no output {name!r}", specs)
            elif not tensor:
                self._problem(field, "is empty", "the name of an ensemble tensor")
            else:
                self._write(tensor, field, index, specs[name], model.max_batch_size)

    def _check_inputs(self, index: int, step: StepConfig, model: ModelConfig) -> None:
        specs = {spec.name: spec for spec in model.inputs}
        field = f"{_step_field(index)}.input_map"
        for name in (name for name in specs if name not in step.inputs):
            self._problem(field, f"does not feed input {name!r} of {model.name!r}", f"all of {_names(specs)}")
        for name, tensor in step.inputs.items():
            field = f'{_step_field(index)}.input_map["{name}"]'
            if name not in specs:
                self._problem(field, f"{model.name!r} has no input {name!r}", specs)
            else:
                self._read_tensor(tensor, field, specs[name], model.max_batch_size)

    def _write(self, tensor: str, field: str, step: int | None, spec: TensorSpec, max_batch: int) -> None:
        earlier = self._writers.setdefault(tensor, _Writer(field, step, spec, full_shape(spec, max_batch)))
        if earlier.field != field:
            problem = f"tensor {tensor!r} is already written by {earlier.field}"
            self._problem(field, problem, "one writer for each tensor")

    def _read_tensor(self, tensor: str, field: str, spec: TensorSpec, max_batch: int) -> None:
        self._read.add(tensor)
        writer = self._writers.get(tensor)
        if writer is None:
            problem = f"nothing writes tensor {tensor!r}"
            self._problem(field, problem, f"ensemble inputs and step outputs: {_names(self._writers)}")
            return
        if writer.spec.dtype != spec.dtype:
            problem = f"{tensor!r} is {triton_name(spec.dtype)} here"
            self._problem(field, problem, f"{triton_name(writer.spec.dtype)}, as {writer.field} writes it")
        shape = full_shape(spec, max_batch)
        if not shapes_agree(writer.shape, shape):
            problem = f"{tensor!r} is {shape_text(shape)} here"
            self._problem(field, problem, f"{shape_text(writer.shape)}, as {writer.field} writes it")

    def _check_use(self) -> None:
        for tensor, writer in self._writers.items():
            if writer.step is None and tensor not in self._read:
                self._problem(writer.field, f"no step reads {tensor!r}", "inputs that a step reads")
        for index, step in enumerate(self._config.steps):
            if step.outputs and self._read.isdisjoint(step.outputs.values()):
                field = f"{_step_field(index)}.output_map"
                self._problem(
                    field, f"nothing reads {_names(step.outputs.values())}", "a tensor that is read"
                )

    def _order(self) -> list[int] | None:
        graph = {index: self._predecessors(step) for index, step in enumerate(self._config.steps)}
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            path = " -> ".join(f"step[{index}] {self._config.steps[index].model}" for index in error.args[1])
            self._problem("ensemble_scheduling.step", f"the steps wait for each other: {path}", "no cycle")
            return None

    def _predecessors(self, step: StepConfig) -> set[int]:
        writers = (self._writers.get(tensor) for tensor in step.inputs.values())
        return {writer.step for writer in writers if writer is not None and writer.step is not None}

    def _ordered_plan(self, order: list[int]) -> EnsemblePlan:
        steps = []
        # Tensors whose first dimension is the batch of the ensemble's call, whatever that is.
        batched = {spec.name for spec in self._config.inputs if self._config.max_batch_size}
        for index in order:
            step, entry = self._config.steps[index], self._entries[index]
            specs = {spec.name: spec for spec in entry.config.inputs}
            max_batch = entry.config.max_batch_size
            sizes_proved = all(
                _proves(self._writers[tensor].shape, full_shape(specs[name], max_batch))
                for name, tensor in step.inputs.items()
            )
            batch_proved = not max_batch or batched.issuperset(step.inputs.values())
            # All inputs of a batched model have one batch: proved, or checked when it runs.
            if max_batch and not batched.isdisjoint(step.inputs.values()):
                batched.update(step.outputs.values())
            steps.append(
                PlannedStep(
                    model=step.model,
                    version=entry.newest if step.version == LATEST_VERSION else step.version,
                    inputs=step.inputs,
                    outputs={name: tensor for name, tensor in step.outputs.items() if tensor in self._read},
                    checked=not (sizes_proved and batch_proved),
                )
            )
        return EnsemblePlan(tuple(steps))


def _proves(written: Sequence[int], read: Sequence[int]) -> bool:
    """Whether every array of the one shape has the other; that they agree is known."""
    return all(wanted in (ANY_SIZE, found) for found, wanted in zip(written, read, strict=True))


def _step_field(index: int) -> str:
    return f"ensemble_scheduling.step[{index}]"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
