"""What the command writes for each target: complete configs, safe caches, graphs of the right precision."""

import hashlib
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.mixed_precision import precision_of
from export.operators import operator_findings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STAGES = [
    "faces64_edit_fused",
    "faces64_exemplar_fused",
    "faces64_generator_head",
    "faces64_generator_middle",
    "faces64_generator_tail",
    "faces64_inverter",
    "faces64_label_map_fused",
    "faces64_label_reader",
    "faces64_mapper_label_map",
    "faces64_own_fused",
    "faces64_proxy_mask_fused",
    "faces64_proxy_segmenter",
    "faces64_rearranger",
    "faces64_scribble_completer",
    "faces64_scribble_fused",
    "faces64_sketch_fused",
    "faces64_sketch_reader",
    "faces64_target_reader",
]
GPU_TARGETS = ["gpu-onnx", "gpu-plan"]
CACHED = {
    "faces64_generator_head",
    "faces64_inverter",
    "faces64_label_reader",
    "faces64_mapper_label_map",
    "faces64_proxy_segmenter",
    "faces64_scribble_completer",
    "faces64_sketch_reader",
    "faces64_target_reader",
}
"""All before seed and target meet: both are asked for again, seeds again and again while a mask is drawn."""
CPU_ONLY = {"inter_op_thread_count", "execution_mode"}


def config_of(repository: Path, model: str) -> triton.ModelConfig:
    text = (repository / model / "config.pbtxt").read_text()
    parsed: triton.ModelConfig = text_format.Parse(text, triton.ModelConfig())
    return parsed


def accelerator_of(repository: Path, model: str) -> dict[str, str]:
    config = config_of(repository, model)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    return dict(accelerator.parameters)


@pytest.mark.parametrize(
    ("target", "backend", "file", "kind", "instances", "delay", "warmups"),
    [
        ("cpu", "onnxruntime", "model.onnx", "KIND_CPU", 1, 0, [1]),
        ("gpu-onnx", "onnxruntime", "model.onnx", "KIND_GPU", 1, 500, [1, 16]),
        ("gpu-plan", "tensorrt", "model.plan", "KIND_GPU", 2, 500, [1, 16]),
    ],
)
@pytest.mark.parametrize("model", STAGES)
def test_stage_config_is_complete(
    target: str,
    backend: str,
    file: str,
    kind: str,
    instances: int,
    delay: int,
    warmups: list[int],
    model: str,
    of_target: dict[str, Path],
) -> None:
    config = config_of(of_target[target], model)
    assert (config.name, config.backend, config.platform) == (model, backend, "")
    assert config.default_model_filename == file
    assert config.max_batch_size == 16
    groups = [(triton.ModelInstanceGroup.Kind.Name(one.kind), one.count) for one in config.instance_group]
    assert groups == [(kind, instances)]
    assert config.version_policy.latest.num_versions == 1
    assert config.dynamic_batching.max_queue_delay_microseconds == delay
    assert list(config.dynamic_batching.preferred_batch_size) == []
    policy = config.dynamic_batching.default_queue_policy
    assert policy.timeout_action == triton.ModelQueuePolicy.REJECT
    assert policy.default_timeout_microseconds > 0
    assert policy.max_queue_size > 0
    assert policy.allow_timeout_override
    assert [warmup.batch_size for warmup in config.model_warmup] == warmups
    assert len({warmup.name for warmup in config.model_warmup}) == len(warmups)
    assert all(set(one.inputs) == {tensor.name for tensor in config.input} for one in config.model_warmup)
    assert set(config.parameters) & CPU_ONLY == (CPU_ONLY if target == "cpu" else set())
    assert config.HasField("optimization") == (target == "gpu-onnx")
    assert config.response_cache.enable == (model in CACHED)


@pytest.mark.parametrize("target", ["cpu", *GPU_TARGETS])
def test_both_layouts_tell_callers_the_same(target: str, of_target: dict[str, Path]) -> None:
    ensemble, fused = (
        {
            key: value.string_value
            for key, value in config_of(of_target[target], name).parameters.items()
            if key.startswith("maskweave.") and key != "maskweave.precision"
        }
        for name in ("faces64_label_map", "faces64_label_map_fused")
    )
    assert ensemble == fused
    assert ensemble["maskweave.pack"] == "faces64"


@pytest.mark.parametrize("target", ["cpu", *GPU_TARGETS])
def test_fused_model_takes_and_gives_what_the_ensemble_does(target: str, of_target: dict[str, Path]) -> None:
    ensemble = config_of(of_target[target], "faces64_label_map")
    fused = config_of(of_target[target], "faces64_label_map_fused")
    assert list(fused.input) == list(ensemble.input)
    assert list(fused.output) == list(ensemble.output)
    assert [tensor.name for tensor in fused.input] == ["LABEL_MAP", "LATENT", "STYLE_STRENGTH"]


@pytest.mark.parametrize("target", GPU_TARGETS)
@pytest.mark.parametrize("model", STAGES)
def test_gpu_graphs_are_fp16_and_what_gpu_runtimes_take(
    target: str, model: str, of_target: dict[str, Path]
) -> None:
    folder = of_target[target] / model
    graph = onnx.load(folder / "1" / "model.onnx")
    assert precision_of(graph) == "fp16"
    assert config_of(of_target[target], model).parameters["maskweave.precision"].string_value == "fp16"
    assert operator_findings(graph) == []
    assert [path.name for path in (folder / "1").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("model", STAGES)
def test_accelerator_caches_are_those_of_one_graph(model: str, of_target: dict[str, Path]) -> None:
    parameters = accelerator_of(of_target["gpu-onnx"], model)
    graph = (of_target["gpu-onnx"] / model / "1" / "model.onnx").read_bytes()
    name = f"{model}-fp16-{hashlib.sha256(graph).hexdigest()[:12]}"
    assert parameters["trt_engine_cache_enable"] == parameters["trt_timing_cache_enable"] == "1"
    assert parameters["trt_engine_cache_prefix"] == name
    assert parameters["trt_engine_cache_path"] == parameters["trt_timing_cache_path"]
    assert parameters["trt_engine_cache_path"] == f"/var/cache/maskweave/{name}"
    assert parameters["precision_mode"] == "FP16"
    assert parameters["trt_layer_norm_fp32_fallback"] == "1"
    assert int(parameters["max_workspace_size_bytes"]) > 0


def test_accelerator_profiles_name_every_input(of_target: dict[str, Path]) -> None:
    parameters = accelerator_of(of_target["gpu-onnx"], "faces64_label_map_fused")
    assert parameters["trt_profile_min_shapes"] == "LABEL_MAP:1x64x64,LATENT:1x100,STYLE_STRENGTH:1x1"
    assert parameters["trt_profile_opt_shapes"] == "LABEL_MAP:4x64x64,LATENT:4x100,STYLE_STRENGTH:4x1"
    assert parameters["trt_profile_max_shapes"] == "LABEL_MAP:16x64x64,LATENT:16x100,STYLE_STRENGTH:16x1"


def test_nothing_can_be_loaded_before_plans_are_built(of_target: dict[str, Path]) -> None:
    assert not list(of_target["gpu-plan"].glob("*/1/*.plan"))
    assert all(not config_of(of_target["gpu-plan"], model).cc_model_filenames for model in STAGES)
