"""Stages to ONNX files that every supported runtime reads: IR version at most 10, opset at most 20."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import onnx
import torch

from export.stages import Stage

OPSET = 18
MAX_IR_VERSION = 10
EXPORT_BATCH = 2
"""The exporter specialises on a batch of one."""


def write_onnx(stage: Stage, example: tuple[torch.Tensor, ...], path: Path) -> None:
    """Export a stage as one file with its weights inside.

    Args:
        stage: what to export.
        example: valid inputs at a batch of `EXPORT_BATCH`.
        path: the file to write.
    """
    batch = torch.export.Dim("batch", min=1)
    # A stage that takes *tensors has one variadic parameter, which takes one nested entry.
    shapes = tuple({0: batch} for _ in example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            stage.module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in stage.inputs],
            output_names=[spec.name for spec in stage.outputs],
            dynamic_shapes=(shapes,) if _is_variadic(stage) else shapes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    del model.metadata_props[:]
    _strip_debug_information(model.graph)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _is_variadic(stage: Stage) -> bool:
    parameters = inspect.signature(stage.module.forward).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)


def _strip_debug_information(graph: onnx.GraphProto) -> None:
    """Drop source locations: they hold paths of the exporting machine."""
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.value_info, *graph.input, *graph.output):
        del value.metadata_props[:]
