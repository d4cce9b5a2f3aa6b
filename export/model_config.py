"""`config.pbtxt` of stages and ensembles: complete, so that a server need not guess anything."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tritonclient.grpc import model_config_pb2 as triton

from export.accelerator import add_accelerator
from export.config_file import rendered
from export.exported import ServedCondition
from export.stages import Stage, TensorSpec
from export.targets import CPU, MAX_BATCH_SIZE, PRECISION_PARAMETER, Target

PRIORITY_LEVELS = 2
"""1 is for callers who wait at a screen, 2 for batches; as many as the gateway knows."""
QUEUE_TIMEOUT_MICROSECONDS = 30_000_000
"""Longest wait for a stage of a request that names no limit of its own."""
MAX_QUEUE_SIZE = 512
"""Requests waiting for a stage, for each priority; the next is refused as overload."""

DATA_TYPES = {torch.uint8: triton.TYPE_UINT8, torch.float32: triton.TYPE_FP32}


def stage_config(
    stage: Stage,
    target: Target = CPU,
    precision: str = "fp32",
    onnx_sha256: str = "",
    parameters: Mapping[str, str] | None = None,
) -> str:
    """The configuration of a stage.

    Args:
        stage: what is served.
        target: where.
        precision: of the stage's graph.
        onnx_sha256: of the stage's graph, in hexadecimal; needed where the target caches engines of it.
        parameters: what callers are told, if the stage answers them by itself, beside its own.
    """
    config = triton.ModelConfig(name=stage.name, backend=target.backend, max_batch_size=MAX_BATCH_SIZE)
    config.default_model_filename = target.model_filename
    _add_tensors(config, stage.inputs, stage.outputs)
    config.version_policy.latest.num_versions = 1
    kind = triton.ModelInstanceGroup.KIND_GPU if target.gpu else triton.ModelInstanceGroup.KIND_CPU
    config.instance_group.add(kind=kind, count=target.instances)
    _add_queue(config, target.queue_delay_microseconds)
    if not target.gpu:
        # How many threads share an operator is nothing that a repository can know.
        config.parameters["inter_op_thread_count"].string_value = "1"
        config.parameters["execution_mode"].string_value = "0"
    if target.gpu:
        config.parameters[PRECISION_PARAMETER].string_value = precision
    if target.accelerated:
        add_accelerator(config, stage, precision, onnx_sha256)
    if stage.cached:
        config.response_cache.enable = True
    for batch in target.warmup_batches:
        _add_warmup(config, stage, batch)
    _add_parameters(config, {**stage.parameters, **(parameters or {})})
    return rendered(config)


def ensemble_config(condition: ServedCondition) -> str:
    """The configuration of the ensemble that runs a condition's stages one after the other.

    Tensors of the same name are the same tensor, so every map is the identity but for what the condition
    renames. What nobody reads is not mapped: it would be carried along for nothing.
    """

    def called(stage: Stage, spec: TensorSpec) -> str:
        return condition.renamed.get((stage.name, spec.name), spec.name)

    ensemble = triton.ModelConfig(name=condition.name, platform="ensemble", max_batch_size=MAX_BATCH_SIZE)
    _add_tensors(ensemble, condition.fused.inputs, condition.fused.outputs)
    ensemble.version_policy.latest.num_versions = 1
    read = {called(stage, spec) for stage in condition.stages for spec in stage.inputs}
    read |= {spec.name for spec in condition.fused.outputs}
    for stage in condition.stages:
        step = ensemble.ensemble_scheduling.step.add(model_name=stage.name, model_version=-1)
        for spec in stage.inputs:
            step.input_map[spec.name] = called(stage, spec)
        for spec in stage.outputs:
            if called(stage, spec) in read:
                step.output_map[spec.name] = called(stage, spec)
    _add_parameters(ensemble, condition.parameters)
    return rendered(ensemble)


def _add_queue(config: triton.ModelConfig, delay_microseconds: int) -> None:
    """Batch what is waiting, refuse what waits too long or finds the queue full, interactive calls first."""
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = delay_microseconds
    batching.priority_levels = PRIORITY_LEVELS
    batching.default_priority_level = 1
    policy = batching.default_queue_policy
    policy.timeout_action = triton.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = QUEUE_TIMEOUT_MICROSECONDS
    policy.allow_timeout_override = True  # the gateway sends what is left of the caller's deadline
    policy.max_queue_size = MAX_QUEUE_SIZE


def _add_warmup(config: triton.ModelConfig, stage: Stage, batch: int) -> None:
    name = "zeros" if batch == 1 else f"zeros_{batch}"
    warmup = config.model_warmup.add(name=name, batch_size=batch)
    for spec in stage.inputs:
        warmup.inputs[spec.name].data_type = DATA_TYPES[spec.dtype]
        warmup.inputs[spec.name].dims.extend(spec.shape)
        warmup.inputs[spec.name].zero_data = True


def _add_parameters(config: triton.ModelConfig, parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        config.parameters[f"maskweave.{key}"].string_value = value


def _add_tensors(
    config: triton.ModelConfig, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    for spec in inputs:
        config.input.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=spec.shape)
    for spec in outputs:
        config.output.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=spec.shape)
