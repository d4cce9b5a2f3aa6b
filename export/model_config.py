"""`config.pbtxt` of stages and ensembles: complete, so that a server need not guess anything."""

from __future__ import annotations

import json

import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.stages import IMAGE, LABEL_MAP, LATENT, STYLE_STRENGTH, Stage, TensorSpec
from training.config import PackConfig

MAX_BATCH_SIZE = 16
INSTANCES = 1
INTRA_OP_THREADS = 2
"""Threads of one run: what gives the lowest latency on the two cores the default is tuned for."""
PRIORITY_LEVELS = 2
"""1 is for callers who wait at a screen, 2 for batches; as many as the gateway knows."""
QUEUE_TIMEOUT_MICROSECONDS = 30_000_000
"""Longest wait for a stage of a request that names no limit of its own."""
MAX_QUEUE_SIZE = 512
"""Requests waiting for a stage, for each priority; the next is refused as overload."""

DATA_TYPES = {torch.uint8: triton.TYPE_UINT8, torch.float32: triton.TYPE_FP32}
HEADER = "# Written by `maskweave export`; change the exporter, not this file.\n"


def stage_config(stage: Stage) -> str:
    """The configuration of a stage on ONNX Runtime, CPU."""
    config = triton.ModelConfig(name=stage.name, backend="onnxruntime", max_batch_size=MAX_BATCH_SIZE)
    config.default_model_filename = "model.onnx"
    _add_tensors(config, stage.inputs, stage.outputs)
    config.version_policy.latest.num_versions = 1
    config.instance_group.add(kind=triton.ModelInstanceGroup.KIND_CPU, count=INSTANCES)
    _add_queue(config)
    for key, value in (
        ("intra_op_thread_count", INTRA_OP_THREADS),
        ("inter_op_thread_count", 1),
        ("execution_mode", 0),
    ):
        config.parameters[key].string_value = str(value)
    if stage.cached:
        config.response_cache.enable = True
    warmup = config.model_warmup.add(name="zeros", batch_size=1)
    for spec in stage.inputs:
        warmup.inputs[spec.name].data_type = DATA_TYPES[spec.dtype]
        warmup.inputs[spec.name].dims.extend(spec.shape)
        warmup.inputs[spec.name].zero_data = True
    return _rendered(config)


def ensemble_config(name: str, condition: str, stages: tuple[Stage, ...], config: PackConfig) -> str:
    """The configuration of the ensemble that runs a pack's stages one after the other.

    Tensors of the same name are the same tensor, so every map is the identity. What the gateway must know
    about the pack travels in the parameters.
    """
    specs = {spec.name: spec for stage in stages for spec in (*stage.inputs, *stage.outputs)}
    ensemble = triton.ModelConfig(name=name, platform="ensemble", max_batch_size=MAX_BATCH_SIZE)
    inputs = tuple(specs[key] for key in (LABEL_MAP, LATENT, STYLE_STRENGTH))
    _add_tensors(ensemble, inputs, (specs[IMAGE],))
    ensemble.version_policy.latest.num_versions = 1
    for stage in stages:
        step = ensemble.ensemble_scheduling.step.add(model_name=stage.name, model_version=-1)
        for spec in stage.inputs:
            step.input_map[spec.name] = spec.name
        for spec in stage.outputs:
            step.output_map[spec.name] = spec.name
    for key, value in pack_parameters(condition, config).items():
        ensemble.parameters[f"maskweave.{key}"].string_value = value
    return _rendered(ensemble)


def pack_parameters(condition: str, config: PackConfig) -> dict[str, str]:
    """What callers and the gateway are told of a pack; lists and objects as JSON."""
    strength = config.mapper.style_strength
    return {
        "pack": config.pack.name,
        "method": config.pack.method,
        "condition": condition,
        "title": config.pack.title,
        "description": config.pack.description,
        "model_version": config.pack.version,
        "palette": json.dumps([entry.model_dump() for entry in config.palette.classes]),
        "latent_scale": repr(config.latent.scale),
        "style_strength": json.dumps({"default": strength.default, "min": 0.0, "max": 1.0}),
    }


def _add_queue(config: triton.ModelConfig) -> None:
    """Batch what is waiting, refuse what waits too long or finds the queue full, interactive calls first."""
    batching = config.dynamic_batching
    # No waiting for company: on a CPU a batch costs as much as its pictures one by one.
    batching.max_queue_delay_microseconds = 0
    batching.priority_levels = PRIORITY_LEVELS
    batching.default_priority_level = 1
    policy = batching.default_queue_policy
    policy.timeout_action = triton.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = QUEUE_TIMEOUT_MICROSECONDS
    policy.allow_timeout_override = True  # the gateway sends what is left of the caller's deadline
    policy.max_queue_size = MAX_QUEUE_SIZE


def _add_tensors(
    config: triton.ModelConfig, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    for spec in inputs:
        config.input.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=spec.shape)
    for spec in outputs:
        config.output.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=spec.shape)


def _rendered(config: triton.ModelConfig) -> str:
    return HEADER + text_format.MessageToString(config)
