"""StyleGAN2 as ONNX: any batch in one graph, the numbers PyTorch has, noise as inputs."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.onnx_graph import EXPORT_BATCH
from export.parity import parity_errors
from export.sis_ug import sis_ug_pack
from export.stages import Stage, TensorSpec, example_inputs, normal
from tests.support.every_runtime import assert_for_every_runtime
from tests.support.graphs_once import graph_of
from tests.support.tiny_stylegan2 import CONFIG, tiny_generator
from training.generators.stylegan2.architecture import convolutions
from training.networks.unet import frozen
from training.sis_ug.config import read_config
from training.sis_ug.networks.build import label_map_mapper, proxy_segmenter, rearranger
from training.sis_ug.pipeline import SynthesisPipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LATENT = TensorSpec("LATENT", torch.float32, (16,), normal(1.0))
STYLES = TensorSpec("LAYER_STYLES", torch.float32, (8, 12), normal(1.0))
PICTURE = TensorSpec("PICTURE", torch.float32, (3, 32, 32))
NOISE = tuple(
    TensorSpec(f"NOISE_{r}_{name}", torch.float32, (1, r, r), normal(1.0))
    for r in (4, 8, 16, 32)
    for name in convolutions(r)
)


class Whole(nn.Module):
    """Latents to images."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tiny_generator()

    def forward(self, latent: Tensor) -> Tensor:
        return self.generator.images(latent)


class WithNoise(Whole):
    """Layer styles and noise to images."""

    def forward(self, *tensors: Tensor) -> Tensor:
        styles, *noise = tensors
        maps = iter(noise)
        given = {r: tuple(next(maps) for _ in convolutions(r)) for r in (4, 8, 16, 32)}
        images: Tensor = self.generator.synthesis(styles, given)
        return images


def stages_of_a_pack() -> list[Stage]:
    """Head, target reader, rearranger, tail; untrained, but no part of a graph is idle."""
    torch.manual_seed(0)
    config, generator = read_config(CONFIG), tiny_generator()
    arranger = rearranger(config, generator)
    with torch.no_grad():
        for parameter in arranger.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pipeline = SynthesisPipeline(
        config, generator, frozen(proxy_segmenter(config)), arranger, label_map_mapper(config)
    )
    label_map = sis_ug_pack(config, pipeline.eval()).conditions[0]
    head, _, target, middle, tail = label_map.stages
    return [head, target, middle, tail]


@pytest.fixture(scope="module", params=["whole", "with_noise"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Path]:
    """What a pack has of it is exported by tests/e2e/test_own_stylegan2.py."""
    stage = {
        "whole": lambda: Stage("whole", Whole(), (LATENT,), (PICTURE,)),
        "with_noise": lambda: Stage("with_noise", WithNoise(), (STYLES, *NOISE), (PICTURE,)),
    }[request.param]()
    return stage, graph_of(tmp_path_factory, stage, example_inputs(stage, EXPORT_BATCH))


@pytest.mark.parametrize("batch", [1, 3])
def test_graph_computes_what_pytorch_computes(exported: tuple[Stage, Path], batch: int) -> None:
    stage, path = exported
    errors = parity_errors(stage, path, example_inputs(stage, batch, seed=batch))
    assert [error for error in errors if error.excessive] == []
    assert {spec.name for spec in stage.outputs} <= {error.tensor for error in errors}


def test_layer_styles_go_from_the_head_to_all_that_runs_blocks() -> None:
    head, target, middle, tail = stages_of_a_pack()
    assert "LAYER_STYLES" in [spec.name for spec in head.outputs]
    assert "LAYER_STYLES" not in [spec.name for spec in target.inputs]
    for stage in (middle, tail):
        assert [spec.name for spec in stage.inputs][-1] == "LAYER_STYLES"
    assert {spec.name: spec.shape for spec in middle.outputs} == {"REARRANGED_FEATURES": (15, 16, 16)}


def test_what_nothing_rearranges_is_the_generators_own_image() -> None:
    config, generator = read_config(CONFIG), tiny_generator()
    pipeline = SynthesisPipeline(
        config,
        generator,
        frozen(proxy_segmenter(config)),
        rearranger(config, generator),
        label_map_mapper(config),
    ).eval()
    with torch.inference_mode():
        source = pipeline.head(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
        image = pipeline.tail(pipeline.grow(source.pyramid, source.styles), source.styles)
    torch.testing.assert_close(image, source.images)


def test_graph_is_for_every_runtime(exported: tuple[Stage, Path]) -> None:
    model = onnx.load(exported[1])
    assert_for_every_runtime(model)
    assert {"Conv", "ConvTranspose"} & {node.op_type for node in model.graph.node}
