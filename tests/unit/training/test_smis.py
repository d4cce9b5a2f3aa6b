"""Published checkpoints, built by hand at a tiny width with the names of the paper's own code."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.groupdnet.smis import BLOCKS, State, load_smis

CLASSES = 4
HIDDEN = 8
LAYERS = ((16, 16, 4), (16, 16, 4), (16, 16, 2), (16, 8, 2), (8, 8, 2), (8, 8, 1), (8, 4, 1))
"""Inputs, outputs and groups of each block."""


def spectral(name: str, outputs: int, inputs: int, kernel: int, bias: bool) -> State:
    layer = nn.Module()
    layer.conv = nn.utils.spectral_norm(nn.Conv2d(inputs, outputs, kernel, bias=bias))
    for _ in range(20):
        layer.conv(torch.zeros(1, inputs, kernel, kernel))
    return {key.replace("conv", name): value for key, value in layer.state_dict().items()}


def plain(name: str, outputs: int, inputs: int, kernel: int = 3) -> State:
    return {
        f"{name}.weight": torch.randn(outputs, inputs, kernel, kernel) * 0.1,
        f"{name}.bias": torch.randn(outputs),
    }


def norm(name: str, channels: int, groups: int) -> State:
    return {
        f"{name}.param_free_norm.running_mean": torch.randn(channels),
        f"{name}.param_free_norm.running_var": torch.rand(channels) + 0.5,
        f"{name}.param_free_norm.num_batches_tracked": torch.tensor(7),
        **plain(f"{name}.mlp_shared.0", HIDDEN, CLASSES // groups),
        **plain(f"{name}.mlp_gamma", channels, HIDDEN // groups),
        **plain(f"{name}.mlp_beta", channels, HIDDEN // groups),
    }


def generator() -> State:
    state = plain("fc", 16, 8) | plain("conv_img", 3, 4) | plain("up_4.conv_0", 2, 2)
    for name, (inputs, outputs, groups) in zip(BLOCKS, LAYERS, strict=True):
        middle = min(inputs, outputs)
        state |= norm(f"{name}.norm_0", inputs, groups) | norm(f"{name}.norm_1", middle, groups)
        state |= spectral(f"{name}.conv_0", middle, inputs // groups, 3, bias=True)
        state |= spectral(f"{name}.conv_1", outputs, middle // groups, 3, bias=True)
        if inputs != outputs:
            state |= norm(f"{name}.norm_s", inputs, groups)
            state |= spectral(f"{name}.conv_s", outputs, inputs // groups, 1, bias=False)
    return state


def encoder() -> State:
    state = plain("fc_mu", 8 * CLASSES, 2) | plain("fc_var", 8 * CLASSES, 2)
    inputs = 3
    for i in range(6):
        state |= spectral(f"layer{i + 1}.0", 2 * CLASSES, inputs, 3, bias=False)
        inputs = 2
    return state


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    paths = tmp_path / "latest_net_G.pth", tmp_path / "latest_net_E.pth"
    for path, state in zip(paths, (generator(), encoder()), strict=True):
        torch.save(state, path)
    return paths


def weight(state: State, name: str) -> Tensor:
    matrix = state[f"{name}.weight_orig"]
    return matrix / (state[f"{name}.weight_u"] @ matrix.flatten(1) @ state[f"{name}.weight_v"])


def reference_norm(state: State, name: str, features: Tensor, maps: Tensor, groups: int) -> Tensor:
    mean, variance = (state[f"{name}.param_free_norm.running_{part}"] for part in ("mean", "var"))
    normed = F.batch_norm(features, mean, variance)
    convolved = [
        lambda x, part=part: F.conv2d(
            x, state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"], padding=1, groups=groups
        )
        for part in ("mlp_shared.0", "mlp_gamma", "mlp_beta")
    ]
    shared, gamma, beta = convolved
    hidden = F.relu(shared(maps))
    return normed * (1 + gamma(hidden)) + beta(hidden)


def test_shapes_tell_the_model(files: tuple[Path, Path]) -> None:
    published = load_smis(*files)
    config = published.config
    assert (config.classes, config.code, config.code_side, config.start) == (CLASSES, 8, 4, 16)
    assert [(block.width, block.groups) for block in config.blocks] == [layer[1:] for layer in LAYERS]
    assert {block.hidden for block in config.blocks} == {HIDDEN}
    assert config.encoder.widths == (2,) * 6
    assert config.image_side == config.encoder.side == 256


@torch.no_grad()
def test_imported_model_computes_what_its_weights_say(files: tuple[Path, Path]) -> None:
    published, state = load_smis(*files), torch.load(files[0], weights_only=True)
    codes = torch.randn(1, CLASSES, 8, 4, 4)
    maps = F.one_hot(torch.randint(CLASSES, (1, 256, 256)), CLASSES).movedim(3, 1).float()
    features = F.conv2d(codes.flatten(1, 2), state["fc.weight"], state["fc.bias"], padding=1, groups=CLASSES)
    for i, (name, (inputs, outputs, groups)) in enumerate(zip(BLOCKS, LAYERS, strict=True)):
        if i:
            features = F.interpolate(features, scale_factor=2)
        small = F.interpolate(maps, features.shape[2:])
        normed = [
            reference_norm(state, f"{name}.norm_{part}", features, small, groups)
            for part in ("0", "s")
            if f"{name}.norm_{part}.mlp_beta.bias" in state
        ]
        bias = state[f"{name}.conv_0.bias"], state[f"{name}.conv_1.bias"]
        middle = F.leaky_relu(normed[0], 0.2)
        middle = F.conv2d(middle, weight(state, f"{name}.conv_0"), bias[0], padding=1, groups=groups)
        middle = F.leaky_relu(reference_norm(state, f"{name}.norm_1", middle, small, groups), 0.2)
        middle = F.conv2d(middle, weight(state, f"{name}.conv_1"), bias[1], padding=1, groups=groups)
        if inputs != outputs:
            features = F.conv2d(normed[1], weight(state, f"{name}.conv_s"), groups=groups)
        features = features + middle
    final = F.conv2d(F.leaky_relu(features, 0.2), state["conv_img.weight"], state["conv_img.bias"], padding=1)
    torch.testing.assert_close(published.decoder(codes, maps), torch.tanh(final), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_imported_encoder_computes_what_its_weights_say(files: tuple[Path, Path]) -> None:
    published, state = load_smis(*files), torch.load(files[1], weights_only=True)
    crops = torch.rand(1, 3 * CLASSES, 256, 256)
    features = crops
    for i in range(6):
        features = F.leaky_relu(features, 0.2) if i else features
        features = F.conv2d(features, weight(state, f"layer{i + 1}.0"), stride=2, padding=1, groups=CLASSES)
        features = F.instance_norm(features)
    features = F.leaky_relu(features, 0.2)
    mean = F.conv2d(features, state["fc_mu.weight"], state["fc_mu.bias"], padding=1, groups=CLASSES)
    assert published.encoder is not None
    torch.testing.assert_close(published.encoder(crops)[0].flatten(1, 2), mean, atol=1e-4, rtol=1e-4)


def test_generator_alone_has_no_encoder(files: tuple[Path, Path]) -> None:
    assert load_smis(files[0]).encoder is None


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1), "opt": Path("x")}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="holds more than tensors or is damaged"):
        load_smis(tmp_path / "bad.pth")


def test_other_models_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(8, 8, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no checkpoint of GroupDNet"):
        load_smis(tmp_path / "other.pth")


def test_a_missing_tensor_is_named(files: tuple[Path, Path]) -> None:
    state = torch.load(files[0], weights_only=True)
    del state["conv_img.bias"]
    torch.save(state, files[0])
    with pytest.raises(ValueError, match=r"finish\.bias"):
        load_smis(*files)
