"""TensorRT inside ONNX Runtime: what a config says to Triton's onnxruntime backend.

The keys are those of the backend's README, "Parameter mapping between ONNX Runtime and Triton ONNXRuntime
Backend" (github.com/triton-inference-server/onnxruntime_backend, commit 013d274). What TensorRT does not take
falls back to the CUDA provider, which the backend always adds after it.
"""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2 as triton

from export.stages import Stage
from export.targets import BATCH_PROFILE, BUILDER_OPTIMIZATION_LEVEL, ENGINE_CACHES, WORKSPACE_BYTES

SHA_DIGITS = 12


def add_accelerator(config: triton.ModelConfig, stage: Stage, precision: str, onnx_sha256: str) -> None:
    """Hand a stage's graph to TensorRT, with caches that no other graph can be taken from.

    Raises:
        ValueError: if the graph's hash is missing.
    """
    if not onnx_sha256:
        raise ValueError(f"{stage.name}: onnx_sha256 is empty, allowed is the hash of the stage's graph")
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters.update(_parameters(stage, precision, onnx_sha256))


def cache_name(stage: Stage, precision: str, onnx_sha256: str) -> str:
    """Name for the cached engines of exactly one graph.

    The cache itself tells neither models nor their weights apart (microsoft/onnxruntime#6455,
    triton-inference-server/onnxruntime_backend#124), so that another model's engine, or an old one, would be
    served.
    """
    return f"{stage.name}-{precision}-{onnx_sha256[:SHA_DIGITS]}"


def _parameters(stage: Stage, precision: str, onnx_sha256: str) -> dict[str, str]:
    name = cache_name(stage, precision, onnx_sha256)
    # One level below a folder that exists: ONNX Runtime makes the last folder of a path and no other.
    folder = f"{ENGINE_CACHES}/{name}"
    return {
        "precision_mode": precision.upper(),
        "max_workspace_size_bytes": str(WORKSPACE_BYTES),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_engine_cache_prefix": name,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        "trt_builder_optimization_level": str(BUILDER_OPTIMIZATION_LEVEL),
        # Before TensorRT 11, FP16 is a permission for the whole graph and overrules the types in it.
        "trt_layer_norm_fp32_fallback": "1",
        "trt_profile_min_shapes": _shapes(stage, BATCH_PROFILE.smallest),
        "trt_profile_opt_shapes": _shapes(stage, BATCH_PROFILE.tuned),
        "trt_profile_max_shapes": _shapes(stage, BATCH_PROFILE.largest),
    }


def _shapes(stage: Stage, batch: int) -> str:
    return ",".join(f"{spec.name}:{'x'.join(map(str, (batch, *spec.shape)))}" for spec in stage.inputs)
