"""Where a repository is to run: one table of what differs between a laptop and GPU servers.

Nothing heavy is imported, so that plans can be built on a server without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """The batch sizes a TensorRT engine is built for: smallest, the one it is tuned for, largest."""

    smallest: int
    tuned: int
    largest: int


BATCH_PROFILE = BatchProfile(1, 4, MAX_BATCH_SIZE)
"""One profile, so no preferred batch sizes. Tuned for a small batch: most calls ask for few images."""
WORKSPACE_BYTES = 1 << 30
BUILDER_OPTIMIZATION_LEVEL = 3
"""TensorRT's own default; higher levels build for longer and have not been measured here."""
ENGINE_CACHES = "/var/cache/maskweave"
"""Folder, on the server, of the TensorRT engines that ONNX Runtime builds; to be mounted and writable."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a server is like.

    Attributes:
        name: as the command line has it.
        backend: of Triton.
        model_filename: what Triton loads when the config names no file for the GPU.
        gpu: whether stages run on GPUs.
        instances: of each stage, on each GPU or on the CPU.
        queue_delay_microseconds: how long a request waits for others to share a batch with.
        warmup_batches: batch sizes that are run before a stage counts as ready.
        precisions: that can be exported; the first is the default.
        accelerated: whether ONNX Runtime hands its graphs to TensorRT.
    """

    name: str
    backend: str
    model_filename: str
    gpu: bool
    instances: int
    queue_delay_microseconds: int
    warmup_batches: tuple[int, ...]
    precisions: tuple[str, ...]
    accelerated: bool = False


CPU = Target(
    name="cpu",
    backend="onnxruntime",
    model_filename="model.onnx",
    gpu=False,
    instances=1,
    # On a CPU a batch costs as much as its images one by one.
    queue_delay_microseconds=0,
    warmup_batches=(1,),
    # ONNX Runtime has few kernels for less on a CPU: it would compute in FP32 and cast in between.
    precisions=("fp32",),
)
GPU_ONNX = Target(
    name="gpu-onnx",
    backend="onnxruntime",
    model_filename="model.onnx",
    gpu=True,
    # Every instance is a session that builds its own engine and holds its own weights.
    instances=1,
    queue_delay_microseconds=500,
    # An engine that is missing from the cache is built by the first run of a shape: before anybody waits.
    warmup_batches=(1, MAX_BATCH_SIZE),
    # Triton's accelerator knows no BF16, and ONNX Runtime's CUDA provider has no convolution in it.
    precisions=("fp16", "fp32"),
    accelerated=True,
)
GPU_PLAN = Target(
    name="gpu-plan",
    backend="tensorrt",
    model_filename="model.plan",
    gpu=True,
    # One copies while the other computes; they are contexts of one engine and share its weights.
    instances=2,
    queue_delay_microseconds=500,
    warmup_batches=(1, MAX_BATCH_SIZE),
    precisions=("fp16", "fp32", "bf16"),
)
TARGETS: Mapping[str, Target] = MappingProxyType(
    {target.name: target for target in (CPU, GPU_ONNX, GPU_PLAN)}
)
PRECISIONS = ("fp32", "fp16", "bf16", "fp8")
"""All that the command line knows; a target has some of them."""
LAYOUTS = ("ensemble", "fused")
"""A pack as stages that an ensemble wires together, or as one graph."""
REFUSED_PRECISIONS: Mapping[str, str] = MappingProxyType(
    {
        "fp8": "not offered: ONNX Runtime's quantizer writes FP8 graphs that ONNX Runtime itself refuses to "
        "run (float8 into Transpose and QLinearConv, release 1.31), so their images cannot be compared; it "
        "needs a converter and a calibration of our own, and a GPU of compute capability 8.9 to try them on",
    }
)
"""Precisions that one would ask for, and why they are not to be had."""
PRECISION_PARAMETER = "maskweave.precision"
"""Parameter of a GPU stage's config that says what its graph computes in."""


def checked_precision(target: Target, precision: str | None) -> str:
    """A precision that a target has; its default for None.

    Raises:
        ValueError: if it has not; says why, and what it has.
    """
    if precision is None:
        return target.precisions[0]
    if precision not in target.precisions:
        reason = REFUSED_PRECISIONS.get(precision, f"not for {target.name}")
        raise ValueError(
            f"precision {precision}: {reason}; allowed for {target.name}: {', '.join(target.precisions)}"
        )
    return precision
