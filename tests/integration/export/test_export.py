"""A pack becomes a model repository: same graphs, complete configs, same images end to end."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.halved_weights import with_halved_weights, with_whole_weights
from export.parity import parity_errors
from export.sis_ug import sis_ug_pack
from export.stages import Stage, example_inputs
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.inference import infer
from training.data.samples import from_uint8, to_uint8
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import SynthesisPipeline, load_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
BEFORE_THE_REARRANGER = {
    "label_map": ["mapper_label_map"],
    "sketch": ["sketch_reader", "mapper_label_map"],
    "scribble": ["scribble_completer", "mapper_label_map"],
    "proxy_mask": [],
    "exemplar": ["proxy_segmenter"],
}
DECISIONS = {
    "generator_head": 1,
    "mapper_label_map": 1,
    "sketch_reader": 1,
    "scribble_completer": 1,
    "proxy_segmenter": 1,
    "inverter": 0,
    "target_reader": 0,
    "rearranger": 0,
    "generator_middle": 0,
    "generator_tail": 1,
    "label_reader": 1,
    "label_map_fused": 3,
    "sketch_fused": 4,
    "scribble_fused": 4,
    "proxy_mask_fused": 2,
    "exemplar_fused": 3,
    "edit_fused": 3,
    "own_fused": 2,
}
GRAPHS = list(DECISIONS)
EDIT = "edit"
BEFORE_AN_EDIT = ["proxy_segmenter", "inverter", "mapper_label_map"]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_computes_what_pytorch_computes(
    name: str, batch: int, stages: dict[str, Stage], repository: Path
) -> None:
    stage = stages[name]
    inputs = example_inputs(stage, batch, seed=batch)
    errors = parity_errors(stage, repository / stage.name / "1" / "model.onnx", inputs)
    # Every output, and of every decision what it reads and what it gives.
    assert {spec.name for spec in stage.outputs} <= {error.tensor for error in errors}
    assert len(errors) == len(stage.outputs) + 2 * DECISIONS[name]
    assert min(error.allowed for error in errors) == 1e-4
    assert [error for error in errors if error.excessive] == []


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_is_readable_by_older_runtimes_and_self_contained(name: str, repository: Path) -> None:
    folder = repository / f"faces64_{name}" / "1"
    model = onnx.load(folder / "model.onnx")
    assert model.ir_version <= 10
    assert {(entry.domain, entry.version <= 20) for entry in model.opset_import} == {("", True)}
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    shapes = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    assert {shape[0].dim_param for shape in shapes} == {"batch"}
    assert all(dimension.dim_value > 0 for shape in shapes for dimension in shape[1:])


def test_graphs_hold_no_path_of_the_machine_that_made_them(repository: Path) -> None:
    here = str(Path(__file__).parents[3]).encode()
    for path in repository.glob("*/1/model.onnx"):
        assert here not in path.read_bytes()


@pytest.mark.parametrize("name", [*GRAPHS, *BEFORE_THE_REARRANGER, EDIT])
def test_config_is_complete(name: str, repository: Path) -> None:
    model = f"faces64_{name}"
    text = (repository / model / "config.pbtxt").read_text()
    parsed = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert parsed.name == model
    assert parsed.max_batch_size > 0
    assert parsed.input
    assert parsed.output
    assert parsed.version_policy.latest.num_versions == 1
    if name == EDIT or name in BEFORE_THE_REARRANGER:
        assert parsed.platform == "ensemble"
        first = ["generator_head", *BEFORE_THE_REARRANGER[name]] if name != EDIT else BEFORE_AN_EDIT
        stages = [*first, "target_reader", "rearranger", "generator_tail"]
        assert [step.model_name for step in parsed.ensemble_scheduling.step] == [
            f"faces64_{stage}" for stage in stages
        ]
    else:
        assert parsed.backend == "onnxruntime"
        assert [(group.kind, group.count > 0) for group in parsed.instance_group] == [
            (model_config_pb2.ModelInstanceGroup.KIND_CPU, True)
        ]
        # Nothing that depends on the machine.
        assert "intra_op_thread_count" not in parsed.parameters
        assert parsed.HasField("dynamic_batching")
        assert parsed.dynamic_batching.max_queue_delay_microseconds == 0
        assert [set(warmup.inputs) for warmup in parsed.model_warmup] == [{i.name for i in parsed.input}]
        assert parsed.response_cache.enable == (
            name not in ("rearranger", "generator_middle", "generator_tail") and not name.endswith("_fused")
        )


@pytest.mark.parametrize("layout", ["", "_fused"])
@pytest.mark.parametrize("kind", list(BEFORE_THE_REARRANGER))
async def test_model_gives_the_images_pytorch_gives(
    kind: str, layout: str, repository: Path, pipeline: SynthesisPipeline, config: PackConfig
) -> None:
    generator = torch.Generator().manual_seed(1)

    def below(count: int, *shape: int) -> torch.Tensor:
        return torch.randint(count, (3, *shape), generator=generator).to(torch.uint8)

    latents = torch.randn(3, 100, generator=generator)
    strength = torch.tensor([[0.0], [0.5], [1.0]])
    with torch.inference_mode():
        source = pipeline.head(latents)
        if kind == "label_map":
            name, given = "LABEL_MAP", below(len(config.palette), 64, 64)
            target = pipeline.map_labels(given, source.histogram, strength)
        elif kind == "sketch":
            name, given = "SKETCH", below(256, 64, 64)
            target = pipeline.map_labels(pipeline.read_sketches(given), source.histogram, strength)
        elif kind == "scribble":
            name, given = "SCRIBBLE", below(len(config.palette), 64, 64)
            given[below(3, 64, 64) > 0] = 255
            target = pipeline.map_labels(pipeline.complete(given), source.histogram, strength)
        elif kind == "proxy_mask":
            name, given = "TARGET_PROXY_MASK", below(config.proxies.clusters, 32, 32)
            target = given
        else:
            name, given = "PICTURE", below(256, 64, 64, 3)
            target = pipeline.segment(from_uint8(given.numpy()))
        expected = to_uint8(pipeline.shape(source, target))

    engine = EmbeddedEngine(repository, threads=2, cache_bytes=1 << 20)
    await engine.start()
    try:
        inputs = {name: given.numpy(), "LATENT": latents.numpy()}
        if kind in ("label_map", "sketch", "scribble"):
            inputs["STYLE_STRENGTH"] = strength.numpy()
        result = await infer(engine, f"faces64_{kind}{layout}", inputs)
    finally:
        await engine.close()
    difference = np.abs(result.outputs["IMAGE"].astype(int) - expected.astype(int))
    assert difference.max() <= 1  # a value exactly between two levels may round either way
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("layout", ["", "_fused"])
async def test_edits_give_the_images_pytorch_gives(
    layout: str, repository: Path, pipeline: SynthesisPipeline, config: PackConfig
) -> None:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (3, 64, 64, 3), generator=generator).to(torch.uint8)
    labels = torch.randint(len(config.palette), (3, 64, 64), generator=generator).to(torch.uint8)
    strength = torch.tensor([[0.0], [0.5], [1.0]])
    with torch.inference_mode():
        source = pipeline.source_of(from_uint8(images.numpy()))
        expected = to_uint8(pipeline.shape(source, pipeline.map_labels(labels, source.histogram, strength)))

    engine = EmbeddedEngine(repository, threads=2, cache_bytes=1 << 20)
    await engine.start()
    try:
        inputs = {"PICTURE": images, "LABEL_MAP": labels, "STYLE_STRENGTH": strength}
        result = await infer(
            engine, f"faces64_edit{layout}", {key: each.numpy() for key, each in inputs.items()}
        )
    finally:
        await engine.close()
    difference = np.abs(result.outputs["IMAGE"].astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("layout", ["", "_fused"])
async def test_the_generators_own_image_and_its_label_map_are_those_of_pytorch(
    layout: str, repository: Path, pipeline: SynthesisPipeline
) -> None:
    latents = torch.randn(3, 100, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = to_uint8(pipeline.generator.images(latents))
        read = pipeline.read_labels(from_uint8(expected)).to(torch.uint8).numpy()

    engine = EmbeddedEngine(repository, threads=2, cache_bytes=1 << 20)
    await engine.start()
    try:
        own = await infer(engine, f"faces64_own{layout}", {"LATENT": latents.numpy()})
        alone = await infer(engine, "faces64_label_reader", {"PICTURE": expected})
    finally:
        await engine.close()
    difference = np.abs(own.outputs["IMAGE"].astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    for label_map in (own.outputs["LABEL_MAP"], alone.outputs["LABEL_MAP"]):
        assert (label_map != read).mean() < 1e-2
    assert len(np.unique(read)) > 1


@pytest.mark.parametrize("name", ["label_reader", "own", "own_fused"])
def test_what_reads_label_maps_is_no_condition(name: str, repository: Path, config: PackConfig) -> None:
    text = (repository / f"faces64_{name}" / "config.pbtxt").read_text()
    parameters = text_format.Parse(text, model_config_pb2.ModelConfig()).parameters
    assert parameters["maskweave.reads_labels"].string_value == "faces64"
    assert parameters["maskweave.model_version"].string_value == config.pack.version
    assert "maskweave.pack" not in parameters


def test_a_pack_without_a_label_segmenter_reads_nothing(
    config: PackConfig, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(weights, folder)
    (folder / "label_segmenter.safetensors").unlink()
    pack = sis_ug_pack(config, load_pipeline(config, folder))
    assert pack.aside == ()
    assert "faces64_own" not in [condition.name for condition in pack.conditions]


def test_what_edits_images_is_no_condition(repository: Path) -> None:
    text = (repository / "faces64_edit" / "config.pbtxt").read_text()
    parameters = text_format.Parse(text, model_config_pb2.ModelConfig()).parameters
    assert parameters["maskweave.edits"].string_value == "faces64"
    assert "maskweave.pack" not in parameters


@pytest.mark.parametrize("name", ["inverter", "label_reader"])
def test_what_is_large_is_kept_in_half_the_space(name: str, repository: Path) -> None:
    kept = onnx.load(repository / f"faces64_{name}" / "1" / "model.onnx")
    large = [weight for weight in kept.graph.initializer if np.prod(weight.dims) >= 1024]
    assert large
    assert {weight.data_type for weight in large} == {onnx.TensorProto.FLOAT16}
    whole = with_whole_weights(kept)
    assert {weight.data_type for weight in whole.graph.initializer} <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
        onnx.TensorProto.INT32,
    }
    assert with_halved_weights(whole).SerializeToString() == kept.SerializeToString()


def test_conditions_tell_callers_the_same_but_for_what_is_theirs(repository: Path) -> None:
    told = {}
    for kind in BEFORE_THE_REARRANGER:
        text = (repository / f"faces64_{kind}" / "config.pbtxt").read_text()
        parameters = text_format.Parse(text, model_config_pb2.ModelConfig()).parameters
        told[kind] = {key.removeprefix("maskweave."): one.string_value for key, one in parameters.items()}
        assert told[kind].pop("condition") == kind
        assert ("style_strength" in told[kind]) == (kind in ("label_map", "sketch", "scribble"))
        told[kind].pop("style_strength", None)
    assert told["proxy_mask"].pop("proxy_clusters") == "6"
    assert all(parameters == told["label_map"] for parameters in told.values())


def test_conditions_that_are_not_trained_are_left_out(
    config: PackConfig, weights: Path, tmp_path: Path
) -> None:
    for name in ("proxy_segmenter", "rearranger_tuned", "mapper_label_map"):
        shutil.copy(weights / f"{name}.safetensors", tmp_path)
    pack = sis_ug_pack(config, load_pipeline(config, tmp_path))
    assert [one.name for one in pack.conditions] == [
        "faces64_label_map",
        "faces64_proxy_mask",
        "faces64_exemplar",
    ]
