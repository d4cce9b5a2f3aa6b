"""Published checkpoints, built by hand at a tiny width with the names of the paper's own code."""

import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

import maskweave_cli
from training.groupdnet.config import StylesConfig
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.decoder import with_edges
from training.groupdnet.published.smis import BLOCKS, State, load_smis
from training.groupdnet.trained import load_styles

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
    with pytest.raises(ValueError, match="not a state dict of tensors"):
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


def test_import_writes_a_pack_that_computes_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "packs" / "people"
    result = CliRunner().invoke(
        maskweave_cli.main, ["import", "smis", str(files[0]), "--output", str(folder)]
    )
    assert result.exit_code == 0, result.output
    assert "256 x 256 px (height x width), 4 classes (class), codes of 128 numbers" in result.output
    config = StylesConfig.model_validate(tomllib.loads((folder / "config.toml").read_text()))
    assert config.palette.names == ("class_0", "class_1", "class_2", "class_3")
    with pytest.raises(
        ValueError, match=r"pack 'people': its configuration has no \[data\] and \[training\]"
    ):
        config.needed_training  # noqa: B018
    published, trained = load_smis(*files), load_styles(config, folder)
    maps = F.one_hot(torch.randint(CLASSES, (1, 256, 256)), CLASSES).movedim(3, 1).float()
    noise = torch.randn(1, CLASSES * 128)
    codes = trained.prior.joint(noise)
    torch.testing.assert_close(codes.flatten(1), noise)
    with torch.inference_mode():
        torch.testing.assert_close(
            trained.network(codes, maps), published.decoder(codes.view(1, CLASSES, 8, 4, 4), maps)
        )


@pytest.mark.parametrize(("arguments", "complaint"), [([], "no encoder beside it"), (["--encoder"], "net_G")])
def test_import_without_its_encoder_is_one_line(
    arguments: list[str], complaint: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    files[1].unlink()
    given = [*arguments, str(files[0])] if arguments else []
    command = ["import", "smis", str(files[0]), "--output", str(tmp_path / "pack"), *given]
    result = CliRunner().invoke(maskweave_cli.main, command)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert complaint in line
    assert not (tmp_path / "pack").exists()


@torch.no_grad()
def test_edges_are_where_classes_meet() -> None:
    ids = torch.tensor([[[0, 0, 1], [0, 0, 1], [2, 0, 1]]])
    told = with_edges(F.one_hot(ids, 3).movedim(3, 1).float())
    assert told.shape == (1, 6, 3, 3)
    for edges in told[0, 1::2]:
        assert edges.tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]
    torch.testing.assert_close(told[0, ::2].argmax(0), ids[0])


@pytest.mark.parametrize("name", ["deepfashion", "cityscapes", "ade20k"])
def test_presets_are_named_by_configurations(name: str) -> None:
    whole = NetworkSection.model_validate({"preset": name})
    assert whole.image_size == (256, 512 if name == "cityscapes" else 256)
    assert whole.code_cells == (4, 8 if name == "cityscapes" else 4)
    small = NetworkSection.model_validate(
        {"preset": name, "side": 128, "width": 140 if name == "cityscapes" else 32, "spectral": False}
    )
    assert small.image_side == 128
    assert not small.spectral
    assert NetworkSection.model_validate(small.model_dump()) == small
    with pytest.raises(ValidationError, match="side: got 200, allowed are 256, 128, 64 with a preset"):
        NetworkSection.model_validate({"preset": name, "side": 200})


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(
        ValidationError, match="preset: got 'coco', allowed are deepfashion, cityscapes, ade20k"
    ):
        NetworkSection.model_validate({"preset": "coco"})
