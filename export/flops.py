"""What the graphs of a repository compute for one image: floating-point operations, read off the files.

Counted are convolutions and matrix products, a product and a sum being two operations; all else is little
beside them. A *new image* runs every stage of its ensemble. A *repaint* has a new condition and a source, a
latent or an image that is edited, that was seen before: it runs all but the stages of the source alone whose
answers the server remembers. A *variation* has a new source and a condition that was seen before: it runs all
but the remembered stages of the condition alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import helper
from tritonclient.grpc import model_config_pb2 as triton

from export.config_file import CONFIG, read_config_file
from export.stages import LATENT, PICTURE

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EnsembleFlops:
    """Of one ensemble.

    Attributes:
        stages: operations by stage, in the order they run.
        of_source: the stages of the source alone whose answers are remembered.
        of_condition: the stages of the condition alone whose answers are remembered.
    """

    stages: Mapping[str, int]
    of_source: frozenset[str]
    of_condition: frozenset[str]

    @property
    def new_image(self) -> int:
        """Operations of all stages."""
        return sum(self.stages.values())

    @property
    def repaint(self) -> int:
        """Operations with a source that was seen before."""
        return self._but(self.of_source)

    @property
    def variation(self) -> int:
        """Operations with a condition that was seen before."""
        return self._but(self.of_condition)

    def _but(self, remembered: frozenset[str]) -> int:
        return sum(count for name, count in self.stages.items() if name not in remembered)


def graph_flops(file: Path) -> int:
    """Operations of a graph at a batch of one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the shape of a product cannot be told.
    """
    model = onnx.load(file)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = 1
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.output, *inferred.value_info):
        shapes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    total = 0
    for node in inferred.node:
        if node.op_type in _COUNT:
            involved = [shapes.get(name, ()) for name in (*node.input[:2], node.output[0])]
            if any(not shape or not all(shape) for shape in involved):
                raise ValueError(f"{file}: the shapes of {node.op_type} ({node.name}) cannot be told")
            total += _COUNT[node.op_type](node, *involved)
    return total


def ensemble_flops(repository: Path) -> dict[str, EnsembleFlops]:
    """Every ensemble of a repository, by name.

    Raises:
        FileNotFoundError: if a stage or its graph is missing.
        ValueError: as `graph_flops`, or if a configuration cannot be read.
    """
    configs = {file.parent.name: read_config_file(file) for file in sorted(repository.glob(f"*/{CONFIG}"))}
    known: dict[str, int] = {}
    found: dict[str, EnsembleFlops] = {}
    for name, config in configs.items():
        stages = [step.model_name for step in config.ensemble_scheduling.step]
        for stage in stages:
            if stage not in configs:
                raise FileNotFoundError(f"{repository / name}: there is no stage {stage!r}")
            if stage not in known:
                known[stage] = graph_flops(_graph(repository / stage, configs[stage].default_model_filename))
        if stages:
            source, condition = _alone(config)
            cached = {stage for stage in stages if configs[stage].response_cache.enable}
            found[name] = EnsembleFlops(
                {stage: known[stage] for stage in stages}, source & cached, condition & cached
            )
    return found


def _alone(ensemble: triton.ModelConfig) -> tuple[frozenset[str], frozenset[str]]:
    """The stages that depend on the source of an ensemble alone, and those that do not depend on it."""
    given = {tensor.name for tensor in ensemble.input}
    source = {LATENT} if LATENT in given else {PICTURE}
    follows = {name: frozenset({name}) for name in given}
    of_source, of_condition = set(), set()
    for step in ensemble.ensemble_scheduling.step:
        read = frozenset[str]().union(*(follows[tensor] for tensor in step.input_map.values()))
        follows |= dict.fromkeys(step.output_map.values(), read)
        if read <= source:
            of_source.add(step.model_name)
        elif not read & source:
            of_condition.add(step.model_name)
    return frozenset(of_source), frozenset(of_condition)


def as_table(ensembles: Mapping[str, EnsembleFlops]) -> str:
    """A line for each ensemble and one for each stage, in GFLOP; a dash where a stage is not run."""
    lines = [f"{'':40} {'new image':>10} {'repaint':>10} {'variation':>10}   GFLOP"]
    for name, flops in ensembles.items():
        totals = flops.new_image, flops.repaint, flops.variation
        lines.append(f"{name:40}" + "".join(f" {total / 1e9:10.3f}" for total in totals))
        for stage, count in flops.stages.items():
            runs = True, stage not in flops.of_source, stage not in flops.of_condition
            cells = (f"{count / 1e9:.3f}" if run else "-" for run in runs)
            lines.append(f"  {stage:38}" + "".join(f" {cell:>10}" for cell in cells))
    return "\n".join(lines)


def _graph(folder: Path, filename: str) -> Path:
    """The graph of a model's newest version."""
    versions = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    if not versions:
        raise FileNotFoundError(f"{folder}: there is no version")
    return folder / str(versions[-1]) / filename


def _convolution(node: onnx.NodeProto, given: Shape, weight: Shape, result: Shape) -> int:
    """Each number that comes out is a product over a kernel of each input channel of its group."""
    return 2 * prod(result) * prod(weight[1:])


def _transposed(node: onnx.NodeProto, given: Shape, weight: Shape, result: Shape) -> int:
    """Each number that goes in is spread over a kernel of each output channel of its group."""
    return 2 * prod(given) * prod(weight[1:])


def _matmul(node: onnx.NodeProto, given: Shape, other: Shape, result: Shape) -> int:
    return 2 * prod(result) * given[-1]


def _gemm(node: onnx.NodeProto, given: Shape, other: Shape, result: Shape) -> int:
    transposed = any(helper.get_attribute_value(a) for a in node.attribute if a.name == "transA")
    return 2 * prod(result) * given[0 if transposed else -1]


_COUNT: Mapping[str, Callable[[onnx.NodeProto, Shape, Shape, Shape], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _matmul,
    "Gemm": _gemm,
}
