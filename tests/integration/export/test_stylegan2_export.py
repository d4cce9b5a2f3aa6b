"""StyleGAN2 as ONNX: any batch in one graph, the numbers PyTorch has, noise as inputs."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.onnx_graph import EXPORT_BATCH, write_onnx
from export.operators import operator_findings
from export.parity import parity_errors
from export.stages import Stage, TensorSpec, example_inputs, normal
from tests.support.tiny_stylegan2 import tiny_generator
from training.generators.stylegan2.architecture import convolutions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LATENT = TensorSpec("LATENT", torch.float32, (16,), normal(1.0))
STYLES = TensorSpec("LAYER_STYLES", torch.float32, (8, 12), normal(1.0))
PICTURE = TensorSpec("PICTURE", torch.float32, (3, 32, 32))
FEATURES = TensorSpec("FEATURES", torch.float32, (15, 16, 16), normal(1.0))
NOISE = tuple(
    TensorSpec(f"NOISE_{r}_{name}", torch.float32, (1, r, r), normal(1.0))
    for r in (4, 8, 16, 32)
    for name in convolutions(r)
)


class Whole(nn.Module):
    """Latents to pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tiny_generator()

    def forward(self, latent: Tensor) -> Tensor:
        return self.generator.pictures(latent)


class Head(Whole):
    """Latents to features at the cut, and their layer styles."""

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        styles = self.generator.styles(latent)
        return self.generator.head(latent, 16, styles)[16], styles


class Tail(Whole):
    """Features at the cut and layer styles to pictures."""

    def forward(self, features: Tensor, styles: Tensor) -> Tensor:  # type: ignore[override]
        return self.generator.tail(features, 16, styles)


class WithNoise(Whole):
    """Layer styles and noise to pictures."""

    def forward(self, *tensors: Tensor) -> Tensor:
        styles, *noise = tensors
        maps = iter(noise)
        given = {r: tuple(next(maps) for _ in convolutions(r)) for r in (4, 8, 16, 32)}
        pictures: Tensor = self.generator.synthesis(styles, given)
        return pictures


STAGES = [
    Stage("whole", Whole(), (LATENT,), (PICTURE,)),
    Stage("head", Head(), (LATENT,), (FEATURES, STYLES)),
    Stage("tail", Tail(), (FEATURES, STYLES), (PICTURE,)),
    Stage("with_noise", WithNoise(), (STYLES, *NOISE), (PICTURE,)),
]


@pytest.fixture(scope="module", params=STAGES, ids=lambda stage: stage.name)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Path]:
    stage: Stage = request.param
    path = tmp_path_factory.mktemp(stage.name) / "model.onnx"
    write_onnx(stage, example_inputs(stage, EXPORT_BATCH), path)
    return stage, path


@pytest.mark.parametrize("batch", [1, 3])
def test_graph_computes_what_pytorch_computes(exported: tuple[Stage, Path], batch: int) -> None:
    stage, path = exported
    errors = parity_errors(stage, path, example_inputs(stage, batch, seed=batch))
    assert [error for error in errors if error.excessive] == []
    assert {spec.name for spec in stage.outputs} <= {error.tensor for error in errors}


def test_graph_is_for_every_runtime(exported: tuple[Stage, Path]) -> None:
    model = onnx.load(exported[1])
    assert model.ir_version <= 10
    assert all(entry.version <= 20 for entry in model.opset_import)
    shapes = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    assert {shape[0].dim_param for shape in shapes} == {"batch"}
    assert operator_findings(model) == []
    assert not any(node.op_type.startswith("Random") for node in model.graph.node)
    # No convolution has weights that are computed: that would be a group for each sample.
    stored = {tensor.name for tensor in model.graph.initializer}
    convolved = [node.input[1] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert convolved
    assert set(convolved) <= stored
