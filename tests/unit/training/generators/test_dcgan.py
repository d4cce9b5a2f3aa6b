from pathlib import Path

import pytest
import torch
from torch import nn

from training.generators.dcgan import DcganGenerator, find_weights, load_generator


def published_architecture() -> nn.Sequential:
    """The generator as its package describes it: transposed convolutions, batch norm, ReLU."""
    layers: list[nn.Module] = []
    widths = (100, 512, 256, 128, 64)
    for i in range(4):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride, padding, bias=False),
            nn.BatchNorm2d(widths[i + 1]),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    checkpoint = torch.load(find_weights(), map_location="cpu", weights_only=True)
    weights: dict[str, torch.Tensor] = checkpoint["netG_state_dict"]
    return weights


def test_folded_generator_equals_the_published_one(state: dict[str, torch.Tensor]) -> None:
    reference = published_architecture().eval()
    reference.load_state_dict({key.removeprefix("main."): value for key, value in state.items()})
    latents = torch.randn(5, 100, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = reference(latents[:, :, None, None])
        torch.testing.assert_close(load_generator().images(latents), expected, atol=1e-5, rtol=0)


def test_head_and_tail_meet_at_every_cut() -> None:
    generator = load_generator()
    latents = torch.randn(2, 100, generator=torch.Generator().manual_seed(4))
    pyramid = generator.head(latents, 32)
    shapes = {resolution: tuple(features.shape[1:]) for resolution, features in pyramid.items()}
    assert shapes == {8: (256, 8, 8), 16: (128, 16, 16), 32: (64, 32, 32)}
    for resolution, features in pyramid.items():
        torch.testing.assert_close(generator.tail(features, resolution), generator.images(latents))


def test_nothing_of_the_generator_learns() -> None:
    generator = load_generator()
    assert not list(generator.parameters())
    assert not any(buffer.requires_grad for buffer in generator.buffers())


def test_another_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    other = tmp_path / "weights.tar"
    other.write_bytes(b"not the weights")
    with pytest.raises(ValueError, match=r"weights\.tar: sha256 is .*, expected 0c3b90b1"):
        load_generator(other)


def test_missing_tensor_is_named(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"'main\.3\.weight' is missing"):
        DcganGenerator({key: value for key, value in state.items() if key != "main.3.weight"})


def test_tensor_of_another_shape_is_named(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"'main\.0\.weight' has shape \(3, 3\), expected \(100,"):
        DcganGenerator(state | {"main.0.weight": torch.zeros(3, 3)})
