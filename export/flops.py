"""What the graphs of a repository compute for one image: floating-point operations, read off the files.

Counted are convolutions and matrix products, a product and a sum being two operations; all else is little
beside them. A *new image* runs every stage of its ensemble; a *repaint*, with a latent that was seen before,
all but those whose answers the server remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import helper

from export.config_file import CONFIG, read_config_file

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EnsembleFlops:
    """Of one ensemble.

    Attributes:
        stages: operations by stage, in the order they run.
        cached: the stages whose answers are remembered.
    """

    stages: Mapping[str, int]
    cached: frozenset[str]

    @property
    def new_image(self) -> int:
        """Operations of all stages."""
        return sum(self.stages.values())

    @property
    def repaint(self) -> int:
        """Operations of the stages that are not remembered."""
        return sum(count for name, count in self.stages.items() if name not in self.cached)


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
            cached = frozenset(stage for stage in stages if configs[stage].response_cache.enable)
            found[name] = EnsembleFlops({stage: known[stage] for stage in stages}, cached)
    return found


def as_table(ensembles: Mapping[str, EnsembleFlops]) -> str:
    """A line for each ensemble and one for each stage, in GFLOP."""
    lines = [f"{'':40} {'new image':>10} {'repaint':>10}   GFLOP"]
    for name, flops in ensembles.items():
        lines.append(f"{name:40} {flops.new_image / 1e9:10.3f} {flops.repaint / 1e9:10.3f}")
        for stage, count in flops.stages.items():
            repaint = "remembered" if stage in flops.cached else f"{count / 1e9:.3f}"
            lines.append(f"  {stage:38} {count / 1e9:10.3f} {repaint:>10}")
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
