"""A pack of GroupDNet becomes a model repository: what the gateway was promised, computed as in PyTorch."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from google.protobuf import text_format
from numpy.typing import NDArray
from onnx import TensorProto
from tritonclient.grpc import InferenceServerClient, InferInput, model_config_pb2

from export.emulation import emulated
from export.exported import ExportedPack
from export.groupdnet import groupdnet_pack
from export.images import load_samples
from export.mixed_precision import in_precision
from export.operators import operator_findings
from export.parity import parity_errors
from export.repository import write_repository
from export.stages import Stage, example_inputs
from export.uint8_edges import with_uint8_at_edges
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.inference import infer
from tests.support.triton_process import triton_process
from training.data.samples import to_uint8
from training.groupdnet.config import StylesConfig
from training.groupdnet.trained import TrainedStyles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Arrays = dict[str, NDArray[Any]]
GRAPHS = ["encoder", "prior", "decoder", "label_map_fused"]
STYLES, CODE, SIDE = 7, 4, 64
CODES = [STYLES, CODE]
LATENT = STYLES * CODE
UINT8, FP32 = model_config_pb2.TYPE_UINT8, model_config_pb2.TYPE_FP32
EDGES = {
    "encoder": (
        {"PICTURE": (UINT8, [SIDE, SIDE, 3]), "LABEL_MAP": (UINT8, [SIDE, SIDE])},
        {"STYLE_MEAN": (FP32, CODES), "STYLE_LOG_VARIANCE": (FP32, CODES)},
    ),
    "prior": (
        {"LATENT": (FP32, [LATENT])},
        {"JOINT_STYLES": (FP32, CODES), "SINGLE_STYLES": (FP32, CODES)},
    ),
    "decoder": (
        {
            "LABEL_MAP": (UINT8, [SIDE, SIDE]),
            "JOINT_STYLES": (FP32, CODES),
            "GIVEN_STYLES": (FP32, CODES),
            "STYLE_GIVEN": (UINT8, [STYLES]),
        },
        {"IMAGE": (UINT8, [SIDE, SIDE, 3])},
    ),
    **{
        name: (
            {
                "LABEL_MAP": (UINT8, [SIDE, SIDE]),
                "LATENT": (FP32, [LATENT]),
                "GIVEN_STYLES": (FP32, CODES),
                "STYLE_GIVEN": (UINT8, [STYLES]),
            },
            {"IMAGE": (UINT8, [SIDE, SIDE, 3])},
        )
        for name in ("label_map", "label_map_fused")
    },
}


@pytest.fixture(scope="module")
def stages(styles_pack: ExportedPack) -> dict[str, Stage]:
    """By name without the pack's, the fused one last."""
    graphs = (*styles_pack.graphs, styles_pack.conditions[0].fused)
    return {stage.name.removeprefix("faces64_styles_"): stage for stage in graphs}


def graph_of(repository: Path, name: str) -> Path:
    return repository / f"faces64_styles_{name}" / "1" / "model.onnx"


def config_of(repository: Path, name: str) -> model_config_pb2.ModelConfig:
    text = (repository / f"faces64_styles_{name}" / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def run(graph: Path | onnx.ModelProto, feed: Arrays) -> Arrays:
    content = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def feed_of(stage: Stage, batch: int, seed: int = 0) -> Arrays:
    inputs = example_inputs(stage, batch, seed)
    return {spec.name: tensor.numpy() for spec, tensor in zip(stage.inputs, inputs, strict=True)}


def within_a_level(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """A value exactly between two levels may round either way."""
    difference = np.abs(found.astype(int) - expected.astype(int))
    return bool(difference.max() <= 1 and (difference > 0).mean() < 1e-3)


def one_hot(labels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 8).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_computes_what_pytorch_computes(
    name: str, batch: int, stages: dict[str, Stage], styles_repository: Path
) -> None:
    stage = stages[name]
    decisions = name in ("decoder", "label_map_fused")
    errors = parity_errors(stage, graph_of(styles_repository, name), example_inputs(stage, batch, batch))
    assert len(errors) == len(stage.outputs) + 2 * decisions
    assert [error for error in errors if error.excessive] == []


@pytest.mark.parametrize("name", GRAPHS)
def test_batches_are_what_single_runs_give(
    name: str, stages: dict[str, Stage], styles_repository: Path
) -> None:
    graph = graph_of(styles_repository, name)
    feed = feed_of(stages[name], 5)
    alone = [run(graph, {key: value[i : i + 1] for key, value in feed.items()}) for i in range(5)]
    for batch in (1, 2, 3, 5):
        together = run(graph, {key: value[:batch] for key, value in feed.items()})
        for key, value in together.items():
            expected = np.concatenate([one[key] for one in alone[:batch]])
            assert value.shape == expected.shape
            if key == "IMAGE":
                assert within_a_level(value, expected)
            else:
                np.testing.assert_allclose(value, expected, rtol=0, atol=1e-4 * np.ptp(expected))


def test_encoder_reads_each_style_of_an_image(styles_repository: Path, trained: TrainedStyles) -> None:
    """Maps of real faces, which lack classes; expected values by ways that share nothing with the stage."""
    labels = load_samples(groupdnet_pack(trained)).labels[::8]
    present = np.array([np.bincount(one.ravel(), minlength=8) > 0 for one in labels])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), SIDE, SIDE, 3)).astype(np.uint8)
    images[0, :32] = 255
    found = run(graph_of(styles_repository, "encoder"), {"PICTURE": images, "LABEL_MAP": labels})
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    with torch.inference_mode():
        mean, log_variance = trained.network.encode(scaled, one_hot(labels))
    for name, expected in (("STYLE_MEAN", mean), ("STYLE_LOG_VARIANCE", log_variance)):
        assert float(expected.std()) > 0.01
        np.testing.assert_allclose(found[name], expected.numpy(), rtol=0, atol=1e-4 * float(expected.std()))
    # A class that is absent everywhere would prove nothing about the others' crops.
    assert present.any(0).all()
    assert not present.all()


def test_encoder_gives_a_style_no_other_class(styles_repository: Path) -> None:
    labels = np.kron(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), np.ones((1, 32, 32), np.uint8))
    images = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.uint8)
    changed = np.where(labels[..., None] == 1, 255 - images, images)
    graph = graph_of(styles_repository, "encoder")
    before, after = (
        run(graph, {"PICTURE": one, "LABEL_MAP": labels})["STYLE_MEAN"][0] for one in (images, changed)
    )
    differs = np.abs(before - after).max(1)
    assert differs[1] > 1e-3
    assert np.delete(differs, 1).max() < 1e-5


def test_prior_gives_whole_faces_styles_and_single_ones(
    styles_repository: Path, trained: TrainedStyles
) -> None:
    latents = trained.noise(3, 1)
    found = run(graph_of(styles_repository, "prior"), {"LATENT": latents.numpy()})
    np.testing.assert_allclose(found["JOINT_STYLES"], trained.prior.joint(latents), atol=1e-5)
    np.testing.assert_allclose(found["SINGLE_STYLES"], trained.prior.single(latents), atol=1e-5)


@pytest.mark.parametrize("flag", [1, 255])
@pytest.mark.parametrize("given", [[], [2], [0, 3, 6], list(range(STYLES))], ids=str)
def test_given_styles_take_the_place_of_the_latents(
    given: list[int], flag: int, styles_repository: Path, trained: TrainedStyles
) -> None:
    random = torch.Generator().manual_seed(0)
    joint, other = (torch.randn(2, *CODES, generator=random) for _ in range(2))
    labels = np.random.default_rng(0).integers(0, 8, (2, SIDE, SIDE)).astype(np.uint8)
    flags = np.zeros((2, STYLES), np.uint8)
    flags[0, given] = flag  # the second image's styles are all the latent's
    codes = joint.clone()
    codes[0, given] = other[0, given]
    with torch.inference_mode():
        expected = to_uint8(trained.network(codes, one_hot(labels)))
        without = to_uint8(trained.network(joint, one_hot(labels)))
    feed = {
        "LABEL_MAP": labels,
        "JOINT_STYLES": joint.numpy(),
        "GIVEN_STYLES": other.numpy(),
        "STYLE_GIVEN": flags,
    }
    found = run(graph_of(styles_repository, "decoder"), feed)["IMAGE"]
    assert within_a_level(found, expected)
    assert within_a_level(found[1], without[1])
    assert within_a_level(found[0], without[0]) == (not given)


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_is_readable_by_older_runtimes_and_self_contained(name: str, styles_repository: Path) -> None:
    path = graph_of(styles_repository, name)
    model = onnx.load(path)
    assert model.ir_version <= 10
    assert {(entry.domain, entry.version <= 20) for entry in model.opset_import} == {("", True)}
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    shapes = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    assert {shape[0].dim_param for shape in shapes} == {"batch"}
    assert all(dimension.dim_value > 0 for shape in shapes for dimension in shape[1:])
    assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()


@pytest.mark.parametrize("name", EDGES)
def test_config_says_what_the_gateway_was_promised(name: str, styles_repository: Path) -> None:
    config = config_of(styles_repository, name)
    assert config.name == f"faces64_styles_{name}"
    inputs, outputs = EDGES[name]
    assert {one.name: (one.data_type, list(one.dims)) for one in config.input} == inputs
    assert {one.name: (one.data_type, list(one.dims)) for one in config.output} == outputs
    assert config.max_batch_size == 16
    assert config.version_policy.latest.num_versions == 1
    if name == "label_map":
        assert config.platform == "ensemble"
        return
    assert config.backend == "onnxruntime"
    assert config.default_model_filename == "model.onnx"
    assert [(group.kind, group.count) for group in config.instance_group] == [
        (model_config_pb2.ModelInstanceGroup.KIND_CPU, 1)
    ]
    policy = config.dynamic_batching.default_queue_policy
    assert config.dynamic_batching.priority_levels == 2
    assert policy.allow_timeout_override
    assert policy.max_queue_size == 512
    assert [set(warmup.inputs) for warmup in config.model_warmup] == [set(inputs)]
    assert not config.response_cache.enable


@pytest.mark.parametrize("name", ["label_map", "label_map_fused"])
def test_callers_and_gateway_are_told_all_of_the_pack(
    name: str, styles_repository: Path, styles_config: StylesConfig
) -> None:
    config = config_of(styles_repository, name)
    told = {
        key.removeprefix("maskweave."): value.string_value
        for key, value in config.parameters.items()
        if key.startswith("maskweave.")
    }
    palette = told.pop("palette")
    assert all(f'"name": "{one}"' in palette for one in styles_config.palette.names)
    assert all(entry.color in palette for entry in styles_config.palette.classes)
    assert told == {
        "pack": "faces64_styles",
        "method": "groupdnet",
        "condition": "label_map",
        "title": styles_config.pack.title,
        "description": styles_config.pack.description,
        "model_version": styles_config.pack.version,
        "latent_scale": "1.0",
        "style_encoder": "faces64_styles_encoder",
        "style_prior": "faces64_styles_prior",
        "style_classes": "0,1,2,3,4,2,5,6",
        "style_size": str(CODE),
    }


def test_ensemble_carries_only_what_is_read(styles_repository: Path) -> None:
    prior, decoder = config_of(styles_repository, "label_map").ensemble_scheduling.step
    assert (prior.model_name, decoder.model_name) == ("faces64_styles_prior", "faces64_styles_decoder")
    assert dict(prior.input_map) == {"LATENT": "LATENT"}
    assert dict(prior.output_map) == {"JOINT_STYLES": "JOINT_STYLES"}
    assert dict(decoder.input_map) == {
        name: name for name in ("LABEL_MAP", "JOINT_STYLES", "GIVEN_STYLES", "STYLE_GIVEN")
    }
    assert dict(decoder.output_map) == {"IMAGE": "IMAGE"}


@pytest.fixture(scope="module")
def question(stages: dict[str, Stage]) -> Arrays:
    return feed_of(stages["label_map_fused"], 3, seed=3)


@pytest.fixture(scope="module")
def answer(question: Arrays, trained: TrainedStyles) -> NDArray[np.uint8]:
    """PyTorch's images."""
    joint = trained.prior.joint(torch.from_numpy(question["LATENT"]))
    is_given = torch.from_numpy(question["STYLE_GIVEN"]).bool()[..., None]
    assert 0 < float(is_given.float().mean()) < 1
    codes = torch.where(is_given, torch.from_numpy(question["GIVEN_STYLES"]), joint)
    with torch.inference_mode():
        return to_uint8(trained.network(codes, one_hot(question["LABEL_MAP"])))


@pytest.mark.parametrize("name", ["label_map", "label_map_fused"])
async def test_embedded_engine_gives_the_images_pytorch_gives(
    name: str, styles_repository: Path, question: Arrays, answer: NDArray[np.uint8]
) -> None:
    engine = EmbeddedEngine(styles_repository, threads=2, cache_bytes=0)
    await engine.start()
    try:
        result = await infer(engine, f"faces64_styles_{name}", question)
    finally:
        await engine.close()
    assert within_a_level(result.outputs["IMAGE"], answer)


@pytest.fixture(scope="module")
def triton(styles_repository: Path) -> Iterator[InferenceServerClient]:
    with triton_process(styles_repository) as process, InferenceServerClient(process.url) as client:
        yield client


@pytest.mark.parametrize("name", ["label_map", "label_map_fused"])
def test_triton_loads_the_configs_and_gives_the_same_images(
    name: str, triton: InferenceServerClient, question: Arrays, answer: NDArray[np.uint8]
) -> None:
    inputs = []
    for key, value in question.items():
        inputs.append(InferInput(key, list(value.shape), "UINT8" if value.dtype == np.uint8 else "FP32"))
        inputs[-1].set_data_from_numpy(value)
    found = triton.infer(f"faces64_styles_{name}", inputs).as_numpy("IMAGE")
    assert within_a_level(found, answer)
    assert triton.is_model_ready("faces64_styles_encoder")


def test_spectral_norm_is_folded_into_the_weights(
    styles_config: StylesConfig, make_trained: Any, tmp_path: Path
) -> None:
    network = styles_config.network
    spectral = network.model_copy(
        update={"spectral": True, "encoder": network.encoder.model_copy(update={"spectral": True})}
    )
    named = styles_config.pack.model_copy(update={"name": "spectral"})
    trained = make_trained(styles_config.model_copy(update={"network": spectral, "pack": named}))
    assert any("parametrizations" in key for key in trained.network.state_dict())
    write_repository(groupdnet_pack(trained), tmp_path / "models")
    assert any("parametrizations" in key for key in trained.network.state_dict())  # a copy was folded
    for name in ("encoder", "decoder"):
        graph = onnx.load(tmp_path / "models" / f"spectral_{name}" / "1" / "model.onnx").graph
        weights = {weight.name for weight in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
        assert convolutions
        assert all(node.input[1] in weights for node in convolutions)
        assert not any("parametrizations" in weight and weight.endswith(("._u", "._v")) for weight in weights)
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(2, *CODES, generator=random)
    labels = np.random.default_rng(0).integers(0, 8, (2, SIDE, SIDE)).astype(np.uint8)
    feed = {
        "LABEL_MAP": labels,
        "JOINT_STYLES": codes.numpy(),
        "GIVEN_STYLES": codes.numpy(),
        "STYLE_GIVEN": np.zeros((2, STYLES), np.uint8),
    }
    with torch.inference_mode():
        expected = to_uint8(trained.network(codes, one_hot(labels)))
    found = run(tmp_path / "models" / "spectral_decoder" / "1" / "model.onnx", feed)["IMAGE"]
    assert within_a_level(found, expected)


@pytest.mark.parametrize("form", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_is_taken_by_gpu_runtimes(name: str, form: str, styles_repository: Path) -> None:
    graph = in_precision(with_uint8_at_edges(onnx.load(graph_of(styles_repository, name))), form)
    assert operator_findings(graph, only_tensorrt=form == "bf16") == []


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_places_of_crops_and_norms_stay_in_fp32(precision: str, styles_repository: Path) -> None:
    encoder, decoder = (
        in_precision(with_uint8_at_edges(onnx.load(graph_of(styles_repository, name))), precision)
        for name in ("encoder", "decoder")
    )
    readers = defaultdict(list)
    for node in encoder.graph.node:
        for name in node.input:
            readers[name].append(node)

    def placing(node: onnx.NodeProto) -> bool:
        """Whether a distance of pixels follows from it."""
        return node.op_type == "Abs" or any(placing(reader) for out in node.output for reader in readers[out])

    types = types_of(encoder)
    bounds = [node for node in encoder.graph.node if node.op_type in ("ReduceMin", "ReduceMax")]
    behind = [
        node for node in encoder.graph.node if node.op_type in ("Sub", "Mul", "Div", "Add", "Max", "Min")
    ]
    exact = [node for node in (*bounds, *behind) if placing(node)]
    assert len(exact) > 20
    assert {types[node.output[0]] for node in exact} == {TensorProto.FLOAT}
    norms = [
        (graph, node) for graph in (encoder, decoder) for node in graph.graph.node if "Norm" in node.op_type
    ]
    assert {node.op_type for _, node in norms} == {"InstanceNormalization", "BatchNormalization"}
    assert {types_of(graph)[node.input[0]] for graph, node in norms} == {TensorProto.FLOAT}
    lowered = [node for node in decoder.graph.node if node.op_type == "Conv"]
    assert {types_of(decoder)[node.input[1]] for node in lowered} != {TensorProto.FLOAT}


@pytest.mark.parametrize(("precision", "allowed"), [("fp16", 0.02), ("bf16", 0.1)])
def test_encoder_reads_nearly_the_same_in_less_than_fp32(
    precision: str, allowed: float, styles_repository: Path, stages: dict[str, Stage]
) -> None:
    graph = with_uint8_at_edges(onnx.load(graph_of(styles_repository, "encoder")))
    feed = feed_of(stages["encoder"], 4)
    exact, rounded = run(graph, feed), run(emulated(in_precision(graph, precision)), feed)
    for name, expected in exact.items():
        error = float(np.abs(rounded[name] - expected).max())
        assert 0 < error < allowed * float(np.ptp(expected))


def types_of(graph: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
