"""Our StyleGAN2 against its definition in NumPy, and cut in two at every resolution."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support import stylegan2_reference as reference
from training.generators.sections import StyleGan2Section
from training.generators.stylegan2.architecture import Architecture, tensor_shapes
from training.generators.stylegan2.generator import (
    StyleGan2Generator,
    config_path,
    load_stylegan2,
    save_stylegan2,
)
from training.generators.stylegan2.layers import Dense, StyledConvolution, Upsample, activate, low_pass
from training.generators.stylegan2.network import SynthesisNetwork, build

CHANNELS = {4: 6, 8: 6, 16: 5, 32: 4}
RATE = 0.01


def architecture(**changes: Any) -> Architecture:
    sizes = {
        "resolution": 32,
        "latent_size": 8,
        "style_size": 8,
        "mapping_layers": 2,
        "mapping_rate": RATE,
        "channels": CHANNELS,
        "clamp": 256.0,
    }
    return Architecture.model_validate(sizes | changes)


def section(**changes: Any) -> StyleGan2Section:
    return StyleGan2Section.model_validate({"resolution": 32, "truncation": 0.7, "noise": "const"} | changes)


def generator(**changes: Any) -> StyleGan2Generator:
    state = reference.random_state(CHANNELS)
    return StyleGan2Generator(architecture(), state, coarsest=8, finest=16, section=section(**changes))


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return reference.random_state(CHANNELS)


def latents(count: int, seed: int = 3) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_activation_keeps_the_gain_of_root_two_and_then_clamps() -> None:
    values = torch.tensor([-10.0, -1.0, 0.0, 1.0, 3.0])
    torch.testing.assert_close(activate(values, None), torch.tensor([-2.0, -0.2, 0, 1, 3]) * 2**0.5)
    torch.testing.assert_close(activate(values, 2.0), torch.tensor([-2, -0.2 * 2**0.5, 0, 2**0.5, 2]))


def test_low_pass_has_gain_four_so_that_flat_stays_flat() -> None:
    kernel = low_pass(3)
    assert kernel.shape == (3, 1, 4, 4)
    torch.testing.assert_close(kernel.sum((1, 2, 3)), torch.full((3,), 4.0))
    torch.testing.assert_close(kernel[0, 0, 0], torch.tensor([1.0, 3, 3, 1]) / 16)
    flat = Upsample(3)(torch.full((1, 3, 6, 6), 5.0))
    torch.testing.assert_close(flat[..., 1:-1, 1:-1], torch.full((1, 3, 10, 10), 5.0))


def test_mapping_computes_what_its_definition_says(state: dict[str, Tensor]) -> None:
    mapping, _ = build(architecture(), state)
    z = latents(4)
    expected = [reference.mapping(reference.as_arrays(state), one, RATE) for one in z.double().numpy()]
    np.testing.assert_allclose(mapping(z).numpy(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mapping(z), mapping(z * 7))  # the length of a latent says nothing


def test_mapping_layer_by_hand() -> None:
    """Two inputs, one output: weight and bias by the rate, weight by 1/sqrt(2) too, then sqrt 2."""
    shapes = tensor_shapes(architecture(latent_size=2, style_size=1, mapping_layers=1))
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    state["mapping.fc0.weight"][:] = torch.tensor([[300.0, 100.0]])
    state["mapping.fc0.bias"][:] = 50.0
    mapping, _ = build(architecture(latent_size=2, style_size=1, mapping_layers=1), state)
    # z = (1, 1) has unit root mean square already.
    expected = ((3 + 1) / 2**0.5 + 0.5) * 2**0.5
    torch.testing.assert_close(mapping(torch.ones(1, 2)), torch.tensor([[expected]]), atol=1e-6, rtol=1e-6)


def test_convolution_is_demodulated_to_unit_variance_and_ignores_the_weights_length(
    state: dict[str, Tensor],
) -> None:
    _, synthesis = build(architecture(), state)
    scaled = {
        name: tensor * 1000 if name.endswith("conv1.weight") else tensor for name, tensor in state.items()
    }
    _, same = build(architecture(), scaled)
    styles = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(synthesis(styles), same(styles), rtol=1e-4, atol=1e-4)


def test_convolution_of_zero_weights_is_zero_and_finite(state: dict[str, Tensor]) -> None:
    dead = dict(state)
    dead["synthesis.b8.conv1.weight"] = torch.zeros(6, 6, 3, 3)
    _, synthesis = build(architecture(), dead)
    assert synthesis(torch.randn(1, 8, 8)).isfinite().all()


@pytest.mark.parametrize("noise", ["const", "none", "given"])
@pytest.mark.parametrize("clamp", [None, 256.0, 0.7])
def test_synthesis_computes_what_its_definition_says(
    state: dict[str, Tensor], noise: str, clamp: float | None
) -> None:
    _, synthesis = build(architecture(clamp=clamp), state)
    random = torch.Generator().manual_seed(1)
    styles = torch.randn(2, 8, 8, generator=random)
    maps = {
        r: tuple(torch.randn(2, 1, r, r, generator=random) for _ in range(1 if r == 4 else 2))
        for r in CHANNELS
    }
    given: Any = maps if noise == "given" else noise
    arrays = reference.as_arrays(state)
    found = {4: synthesis.start(styles, given)}
    for r in (8, 16, 32):
        found[r] = synthesis.block(found[r // 2], r, styles, given)
    for sample in range(2):
        names = {r: ("conv1",) if r == 4 else ("conv0", "conv1") for r in CHANNELS}
        own: Any = noise
        if noise == "given":
            own = {
                f"synthesis.b{r}.{name}": maps[r][i][sample, 0].double().numpy()
                for r in CHANNELS
                for i, name in enumerate(names[r])
            }
        expected = reference.synthesis(arrays, styles[sample].double().numpy(), own, clamp)
        for r, (features, image) in expected.items():
            both = np.concatenate([features, image])
            np.testing.assert_allclose(found[r][sample].numpy(), both, rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(synthesis(styles, given), found[32][:, -3:])


def test_clamp_binds_features_and_colours_but_not_their_sum(state: dict[str, Tensor]) -> None:
    _, synthesis = build(architecture(clamp=0.1), state)
    styles = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(2))
    features = synthesis.start(styles)
    assert features.abs().max() <= 0.1
    for r in (8, 16, 32):
        features = synthesis.block(features, r, styles)
        assert features[:, :-3].abs().max() <= 0.1
    assert 0.1 < synthesis.image(features).abs().max() <= 0.5


@pytest.mark.parametrize(("psi", "layers"), [(1.0, None), (0.5, None), (0.0, None), (0.5, 3)])
def test_truncation_draws_the_first_layers_to_the_average(psi: float, layers: int | None) -> None:
    state = reference.random_state(CHANNELS)
    frozen = generator(truncation=psi, truncated_layers=layers)
    z = latents(2)
    own, average = frozen.mapping(z), state["mapping.w_avg"]
    styles = frozen.styles(z)
    assert styles.shape == (2, 8, 8)
    for layer in range(8):
        share = psi if layers is None or layer < layers else 1.0
        torch.testing.assert_close(styles[:, layer], average + share * (own - average))


def test_head_and_tail_meet_at_every_cut() -> None:
    frozen = generator()
    z = latents(3)
    styles, images = frozen.styles(z), frozen.images(z)
    pyramid = frozen.head(z, 16)
    assert {r: tuple(maps.shape) for r, maps in pyramid.items()} == {8: (3, 9, 8, 8), 16: (3, 8, 16, 16)}
    assert frozen.channels == {8: 9, 16: 8}
    assert images.shape == (3, 3, 32, 32)
    assert images.abs().max() <= 1
    assert images.std() > 0.1
    for r, features in pyramid.items():
        torch.testing.assert_close(frozen.tail(features, r, styles), images)
    assert frozen.without_skip(pyramid)[8].shape == (3, 6, 8, 8)
    assert list(frozen.head(z, 8)) == [8]


def test_features_moved_with_their_image_give_the_moved_image_and_ghosts_without_it() -> None:
    """Convolutions do not care where something is: features four cells on are an image eight pixels on."""
    frozen = generator(noise="none")
    z = latents(2)
    styles, features = frozen.styles(z), frozen.head(z, 16)[16]
    wanted = frozen.tail(features, 16, styles)[..., 5:19]
    moved = features.roll(4, dims=3)
    torch.testing.assert_close(frozen.tail(moved, 16, styles)[..., 13:27], wanted, rtol=1e-3, atol=1e-4)
    left = torch.cat([moved[:, :-3], features[:, -3:]], dim=1)
    assert (frozen.tail(left, 16, styles)[..., 13:27] - wanted).abs().mean() > 0.05


def test_nothing_learns_and_images_depend_on_nothing_but_their_latent() -> None:
    frozen = generator()
    assert not list(frozen.parameters())
    assert not any(buffer.requires_grad for buffer in frozen.buffers())
    z = latents(3)
    torch.testing.assert_close(frozen.images(z)[1:2], frozen.images(z[1:2]))


def test_blocks_ask_for_the_layer_styles() -> None:
    frozen = generator()
    with pytest.raises(ValueError, match="needs the layer styles"):
        frozen.tail(frozen.head(latents(1), 8)[8], 8)


def test_written_and_read_back_gives_the_same_images(tmp_path: Path) -> None:
    weights = tmp_path / "stylegan2.safetensors"
    save_stylegan2(architecture(), reference.random_state(CHANNELS), weights, {"file": "x.pkl"})
    read = load_stylegan2(weights, section(), coarsest=8, finest=16)
    assert torch.equal(read.images(latents(2)), generator().images(latents(2)))
    assert json.loads(config_path(weights).read_text())["source"] == {"file": "x.pkl"}


def test_files_that_do_not_fit_are_told_by_name(tmp_path: Path) -> None:
    weights = tmp_path / "stylegan2.safetensors"
    with pytest.raises(
        FileNotFoundError, match=r"stylegan2\.safetensors is missing: make it with `maskweave"
    ):
        load_stylegan2(weights, section(), coarsest=8, finest=16)
    save_stylegan2(architecture(), reference.random_state(CHANNELS), weights, {})
    with pytest.raises(ValueError, match=r"resolution: 64, but the generator has 32"):
        load_stylegan2(weights, section(resolution=64), coarsest=8, finest=16)
    config_path(weights).write_text('{"architecture": {"resolution": 48}}')
    with pytest.raises(ValueError, match=r"json: describes no StyleGAN2 \(resolution: .*48 is not supported"):
        load_stylegan2(weights, section(), coarsest=8, finest=16)
    save_stylegan2(architecture(), reference.random_state(CHANNELS), weights, {})
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"stylegan2\.safetensors: "):
        load_stylegan2(weights, section(), coarsest=8, finest=16)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"synthesis.b8.conv0.bias": None}, r"'synthesis\.b8\.conv0\.bias' is missing"),
        ({"synthesis.b8.conv0.bias": torch.zeros(2)}, r"has shape \(2,\), expected \(6,\)"),
        ({"mapping.w_avg": torch.full((8,), float("nan"))}, "holds a number that is not finite"),
        ({"mapping.w_avg": torch.zeros(8, dtype=torch.int64)}, "allowed is floating point"),
    ],
)
def test_wrong_tensor_is_named(change: dict[str, Tensor | None], complaint: str) -> None:
    changed = {k: v for k, v in (reference.random_state(CHANNELS) | change).items() if v is not None}
    with pytest.raises(ValueError, match=complaint):
        build(architecture(), changed)


def test_convolution_up_doubles_a_gradient_without_a_checkerboard() -> None:
    """A flat map through a flat kernel stays flat inside: the phases of the zeros put in cancel."""
    layer = StyledConvolution(
        torch.ones(1, 1, 3, 3),
        torch.zeros(1),
        Dense(torch.zeros(1, 1), torch.ones(1)),
        torch.zeros(16, 16),
        torch.zeros(()),
        up=True,
        clamp=None,
    )
    inside = layer(torch.ones(1, 1, 8, 8), torch.zeros(1, 1), None)[..., 4:-4, 4:-4]
    # Nine weights of norm 3, of which a quarter meet values, filter of gain 4: 9/3, then the root of 2.
    torch.testing.assert_close(inside, torch.full_like(inside, 3 * 2**0.5))


def test_the_image_in_the_making_is_upsampled_as_one_filter_says() -> None:
    image = torch.randn(2, 3, 5, 5)
    zeros = torch.zeros(2, 3, 10, 10)
    zeros[:, :, ::2, ::2] = image
    expected = F.conv2d(F.pad(zeros, (2, 1, 2, 1)), low_pass(3), groups=3)
    torch.testing.assert_close(Upsample(3)(image), expected)


def test_synthesis_is_one_class_for_every_resolution() -> None:
    channels = {4 * 2**i: 4 for i in range(9)}
    big = architecture(resolution=1024, channels=channels)
    state = {name: torch.ones(shape) for name, shape in tensor_shapes(big).items()}
    network = SynthesisNetwork(big, state)
    assert big.layers == 18
    assert network.resolutions[-1] == 1024
