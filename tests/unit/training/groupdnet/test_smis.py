"""Published checkpoints, built by hand at a tiny width with the names of the paper's own code."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

import maskweave_cli
from training.generators.importers import files as bounds
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


G, E = "latest_net_G.pth", "latest_net_E.pth"
WIDE = {
    f"{block}.conv_1.{part}": tensor
    for block in BLOCKS[:2]
    for part, tensor in {
        "weight_orig": torch.ones(2_000_000, 1, 1, 1),
        "weight_u": torch.ones(2_000_000),
        "weight_v": torch.ones(1),
    }.items()
}
"""Two shapes of some megabytes that say of a network that it has 36 terabytes."""
REFUSED: dict[str, tuple[str, dict[Any, Any], str]] = {
    "no rank": (G, {"fc.weight": torch.tensor(1.0)}, "'fc.weight' is missing, or has not 4 dim"),
    "another rank": (G, {"fc.weight": torch.ones(3)}, "no checkpoint of GroupDNet"),
    "a norm without rank": (
        G,
        {"head_0.norm_0.param_free_norm.running_mean": torch.tensor(1.0)},
        "running_mean' is missing, or has not 1 dimensions",
    ),
    "a spectral norm without rank": (
        G,
        {"head_0.conv_0.weight_orig": torch.tensor(1.0)},
        "'head_0.conv_0.weight_orig' has shape ()",
    ),
    "vectors of another": (G, {"head_0.conv_0.weight_v": torch.ones(5)}, "have (16,) and (5,)"),
    "one vector": (G, {"x.weight_orig": torch.ones(2, 2)}, "'x.weight_u' is missing beside 'x.weight_orig'"),
    "nothing to divide by": (
        G,
        {"head_0.conv_0.weight_v": torch.zeros(36)},
        "tensor 'head_0.conv_0.weight' holds a number that is not finite",
    ),
    "no number": (E, {"fc_mu.bias": torch.full((32,), float("nan"))}, "'fc_mu.bias' holds a number that is"),
    "whole numbers": (G, {"fc.bias": torch.ones(16, dtype=torch.int64)}, "'fc.bias' is of torch.int64"),
    "no numbers": (G, {"fc.weight": torch.ones(10**9, 0, 3, 3)}, "has shape (1000000000, 0, 3, 3), and no"),
    "many classes": (G, {"fc.weight": torch.ones(40_000, 8, 1, 1)}, "10000 classes; allowed are 2 to 255"),
    "wide blocks": (G, WIDE, "does not fit the model its shapes say"),
    "deep encoder": (
        E,
        {f"layer{i}.0.weight": torch.ones(8, 2, 3, 3) for i in range(7, 60)},
        "an encoder of 59 layers; allowed are 6",
    ),
    "no name": (G, {3: torch.ones(1)}, "not a state dict of tensors: 3 is"),
    "nested": (E, {"state": {"fc_mu.bias": torch.ones(1)}}, "not a state dict of tensors: 'state' is"),
    "what a terminal obeys": (G, {"x\x1b[31m\n": torch.ones(1)}, r"x\x1b[31m\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_checkpoints_are_one_line_and_write_nothing(
    name: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    which, changes, complaint = REFUSED[name]
    path = tmp_path / which
    torch.save(torch.load(path, weights_only=True) | changes, path)
    assert complaint in refused(files[0], tmp_path / "pack")


def refused(file: Path, output: Path) -> str:
    """The line in which the command refuses to import a file."""
    result = CliRunner().invoke(maskweave_cli.main, ["import", "smis", str(file), "--output", str(output)])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.exception
    (line,) = result.output.splitlines()
    assert line.isprintable()
    assert not list(output.parent.glob(f"{output.name}/*.safetensors"))
    return line


def test_what_is_no_file_is_not_waited_for(files: tuple[Path, Path], tmp_path: Path) -> None:
    files[0].unlink()
    os.mkfifo(files[0])
    assert "latest_net_G.pth: is no file" in refused(files[0], tmp_path / "pack")


def test_too_large_a_file_is_refused_unread(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_BYTES", 1000)
    assert f"has {files[0].stat().st_size} bytes; allowed are 1000" in refused(files[0], tmp_path / "pack")


@pytest.mark.parametrize("name", ["My People", "a-b", "1st", 'a"b', "a\nb", "\x1b[31m"])
def test_a_folder_whose_name_no_pack_may_have_is_refused(
    name: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "--output: its last part, " in refused(files[0], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_that_cannot_be_written_is_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(files[0], tmp_path / "file" / "pack")


def test_a_configuration_that_is_there_must_be_of_this_network(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "people"
    command = ["import", "smis", str(files[0]), "--output", str(folder)]
    assert CliRunner().invoke(maskweave_cli.main, command).exit_code == 0
    again = CliRunner().invoke(maskweave_cli.main, command)
    assert "config.toml: kept as it is" in again.output
    config = folder / "config.toml"
    text = config.read_text()
    for name in ("groupdnet", "prior"):
        (folder / f"{name}.safetensors").unlink()
    config.write_text(text.replace("hidden = 8", "hidden = 16"))
    assert "config.toml: its [network] is another than the checkpoint's" in refused(files[0], folder)
    config.write_text("[")
    assert "config.toml: " in refused(files[0], folder)


def test_half_precision_and_data_parallelism_are_read(files: tuple[Path, Path]) -> None:
    plain_one = load_smis(*files)
    for path in files:
        state = torch.load(path, weights_only=True)
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    wrapped = load_smis(*files)
    assert wrapped.config == plain_one.config
    for path in files:
        state = torch.load(path, weights_only=True)
        halved = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        torch.save(halved, path)
    for half in (load_smis(*files).decoder.state_dict(), wrapped.decoder.state_dict()):
        for key, value in plain_one.decoder.state_dict().items():
            torch.testing.assert_close(half[key], value, rtol=2e-2, atol=2e-2)


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
