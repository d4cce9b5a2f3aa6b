"""Ways to run a stage: PyTorch or ONNX Runtime, and in what precision; each measured against the roofs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from export.exported import ExportedPack
from export.flops import graph_flops
from export.gpu.device import CUDA, DTYPES, Device
from export.mixed_precision import in_precision
from export.onnx_graph import EXPORT_BATCH, write_onnx
from export.stages import Stage, example_inputs
from export.uint8_edges import with_uint8_at_edges


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run a stage.

    Attributes:
        runtime: What runs it, `torch` or `onnxruntime`.
        precision: What it computes in.
        fast: Compiled by PyTorch, or as a CUDA graph of ONNX Runtime.
    """

    runtime: str
    precision: str
    fast: bool


WAYS: Mapping[str, Way] = {
    f"{'PyTorch' if runtime == 'torch' else 'ONNX Runtime'}{suffix} {precision}": Way(
        runtime, precision, fast
    )
    for precision in ("fp32", "fp16", "bf16")
    for runtime, fast, suffix in (
        ("torch", False, " eager"),
        ("onnxruntime", False, ""),
        ("onnxruntime", True, " graph"),
        ("torch", True, " compiled"),
    )
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A stage in one way.

    Attributes:
        seconds: Of a batch, median.
        images_per_second: Of this stage alone.
        operations_per_second: Products and sums of its convolutions and matrix products.
        share_of_compute: Of the device's best in that precision.
        share_of_memory: Of the device's best: weights once, and what goes in and out. What is written in
            between is not counted, so that more was moved.
    """

    seconds: float
    images_per_second: float
    operations_per_second: float
    share_of_compute: float
    share_of_memory: float

    def as_json(self) -> dict[str, float | None]:
        """Plain values; what is not known is None."""
        return {name: value if value == value else None for name, value in asdict(self).items()}  # noqa: PLR0124


class Stages:
    """The stages of a pack's first condition, with what must be known of each.

    Args:
        pack: whose.
        folder: where their graphs are written.
    """

    def __init__(self, pack: ExportedPack, folder: Path) -> None:
        self.stages = pack.conditions[0].stages
        self._folder = folder
        self._counted: dict[str, tuple[int, int]] = {}

    def file(self, stage: Stage) -> Path:
        """Its ONNX file, made when first asked for."""
        file = self._folder / stage.name / "model.onnx"
        if not file.exists():
            write_onnx(stage, example_inputs(stage, EXPORT_BATCH), file)
        return file

    def counted(self, stage: Stage) -> tuple[int, int]:
        """Operations for an image, and bytes of the weights in FP32."""
        if stage.name not in self._counted:
            weights = sum(t.numel() * t.element_size() for t in stage.module.state_dict().values())
            self._counted[stage.name] = graph_flops(self.file(stage)), weights
        return self._counted[stage.name]


def measure(
    device: Device,
    stages: Stages,
    stage: Stage,
    way: Way,
    batch: int,
    seconds: float,
    best: Mapping[str, float],
    bandwidth: float,
) -> Measured:
    """Measure a stage in one way.

    Args:
        device: Where.
        stages: It is one of these.
        stage: What.
        way: How.
        batch: Images at once.
        seconds: For which it is repeated.
        best: Operations a second that the device reaches, by precision.
        bandwidth: Bytes a second that it moves.

    Raises:
        Exception: Whatever the runtime raises where it has no such way.
    """
    operations, weights = stages.counted(stage)  # first: the graph is made of a module on the CPU
    inputs = tuple(tensor.to(device.name) for tensor in example_inputs(stage, batch))
    if way.runtime == "torch":
        run = _in_torch(device, stage, way, inputs)
    else:
        run = _in_onnxruntime(device, stages.file(stage), stage, way, inputs)
    taken = device.seconds_of(run, seconds)
    sizes = [spec.shape for spec in (*stage.inputs, *stage.outputs)]
    moved = weights * (1 if way.precision == "fp32" else 0.5) + batch * 4 * sum(map(_product, sizes))
    return Measured(
        seconds=taken,
        images_per_second=batch / taken,
        operations_per_second=batch * operations / taken,
        share_of_compute=batch * operations / taken / best[way.precision],
        share_of_memory=moved / taken / bandwidth,
    )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _in_torch(device: Device, stage: Stage, way: Way, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    module: nn.Module = stage.module.to(device.name).eval()
    called: Callable[..., object] = torch.compile(module, dynamic=False) if way.fast else module
    dtype = DTYPES[way.precision]

    @torch.inference_mode()
    def run() -> object:
        with torch.autocast(device.name, dtype, enabled=way.precision != "fp32"):
            return called(*inputs)

    return run


def _in_onnxruntime(
    device: Device, file: Path, stage: Stage, way: Way, inputs: tuple[Tensor, ...]
) -> Callable[[], object]:
    if way.fast and not device.gpu:
        raise ValueError("there are CUDA graphs on GPUs only")
    graph = onnx.load(file)
    if device.gpu or way.precision != "fp32":
        graph = with_uint8_at_edges(graph)
    if way.precision != "fp32":
        graph = in_precision(graph, way.precision)
    options: dict[str, Any] = {"use_tf32": "0", "enable_cuda_graph": "1" if way.fast else "0"}
    providers = [(CUDA, options)] if device.gpu else ["CPUExecutionProvider"]
    if device.gpu and CUDA not in ort.get_available_providers():
        raise ValueError("this ONNX Runtime has no CUDA: install onnxruntime-gpu")
    session = ort.InferenceSession(graph.SerializeToString(), providers=providers)
    binding = session.io_binding()
    batch = inputs[0].shape[0]
    kept = []  # a CUDA graph runs on the same addresses each time
    for spec, tensor in zip(stage.inputs, inputs, strict=True):
        value = ort.OrtValue.ortvalue_from_numpy(tensor.cpu().numpy(), device.name, 0)
        binding.bind_ortvalue_input(spec.name, value)
        kept.append(value)
    for spec in stage.outputs:
        dtype = torch.empty(0, dtype=spec.dtype).numpy().dtype
        value = ort.OrtValue.ortvalue_from_shape_and_type((batch, *spec.shape), dtype, device.name, 0)
        binding.bind_ortvalue_output(spec.name, value)
        kept.append(value)

    def run(kept: object = kept) -> object:
        del kept
        return session.run_with_iobinding(binding)

    return run
