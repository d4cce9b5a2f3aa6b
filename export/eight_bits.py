"""Writes graphs whose convolutions and products compute in 8-bit integers, calibrated on images of the pack.

Quantizers and dequantizers stand around each such layer (QDQ), which every CPU runtime takes and fuses into
its own kernels. Weights have a scale for each channel and seven bits: on CPUs without VNNI, sums of two
products of eight bits overflow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.exported import ExportedPack
from export.halved_weights import with_whole_weights
from export.images import Samples, images_of
from export.runners import ONNX_FILE, VERSION, Loader, Runner
from service.engine.embedded.runtime import INT8_SUFFIX

Array = NDArray[Any]

LAYERS = ("Conv", "MatMul", "Gemm")
"""What is computed in 8 bits. Transposed convolutions have no such kernels in ONNX Runtime."""
CALIBRATION_SEEDS = tuple(range(100, 108))
"""None of those with which images are compared afterwards."""
MOST_SAMPLES = 48
"""Of each graph: more change the ranges hardly and take memory."""
_OF_A_BATCH = 2
"""So that many label maps and conditions take part."""


def write_int8(pack: ExportedPack, repository: Path, samples: Samples) -> Iterator[str]:
    """Write an 8-bit graph beside each graph of a pack that has layers to gain from.

    Args:
        pack: Whose graphs they are.
        repository: Where they are, in FP32.
        samples: What is calibrated on.

    Yields:
        A line for each graph.

    Raises:
        FileNotFoundError: The repository does not hold the pack.
    """
    seen = _inputs(pack, repository, samples)
    for name, inputs in seen.items():
        source = repository / name / VERSION / ONNX_FILE
        graph = with_whole_weights(onnx.load(source))
        layers = [node.name for node in graph.graph.node if node.op_type in LAYERS]
        if not layers:
            yield f"{name}: has no layer that would gain"
            continue
        target = source.with_suffix(INT8_SUFFIX)
        _quantize(graph, inputs, target)
        yield f"{name}: {len(layers)} layers, {target.stat().st_size / 1e6:.1f} MB"


def _inputs(pack: ExportedPack, repository: Path, samples: Samples) -> dict[str, list[Mapping[str, Array]]]:
    """What each graph is given when a pack's images are made, one image at a time."""
    seen: dict[str, list[Mapping[str, Array]]] = {}

    def note(name: str, inputs: Mapping[str, Array]) -> None:
        kept = seen.setdefault(name, [])
        for index in range(min(len(next(iter(inputs.values()))), _OF_A_BATCH)):
            if len(kept) < MOST_SAMPLES:
                kept.append({key: array[index : index + 1] for key, array in inputs.items()})

    aside = tuple(stage.name for stage in pack.aside)
    loader = Loader(repository)
    for condition in pack.conditions:
        images_of(condition, Runner(loader, condition.name, aside, note), samples)
    return seen


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: list[Mapping[str, Array]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, Array] | None:
        following = next(self._left, None)
        return (
            None
            if following is None
            else {name: np.ascontiguousarray(array) for name, array in following.items()}
        )


def _quantize(graph: onnx.ModelProto, inputs: list[Mapping[str, Array]], target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, ONNX_FILE)
        onnx.save(onnx.shape_inference.infer_shapes(graph), whole)
        quantize_static(
            whole,
            target,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
