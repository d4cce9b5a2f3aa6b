"""Checkpoints in both formats become the same generator; what is not for us is refused in one line."""

import collections
import json
import pickle
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor

from tests.support import stylegan2_files as files
from tests.support.stylegan2_reference import random_state
from training.cli.import_weights import import_
from training.generators.importers import files as bounds
from training.generators.importers.rosinality import AVERAGED
from training.generators.importers.stylegan2 import import_stylegan2
from training.generators.sections import StyleGan2Section
from training.generators.stylegan2.generator import StyleGan2Generator, load_stylegan2
from training.generators.stylegan2.network import build

CHANNELS = {4: 6, 8: 6, 16: 5, 32: 4}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(CHANNELS)


def written(folder: Path, content: bytes, name: str = "net.pkl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_ada_pickle_gives_back_every_tensor(tmp_path: Path, state: dict[str, Tensor], protocol: int) -> None:
    content = files.ada_pickle(files.ada_generator(state), protocol)
    imported = import_stylegan2(written(tmp_path, content))
    assert imported.architecture.model_dump() == {
        "resolution": 32,
        "latent_size": 8,
        "style_size": 8,
        "mapping_layers": 2,
        "mapping_rate": 0.01,
        "channels": CHANNELS,
        "clamp": 256.0,
    }
    assert imported.state.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(imported.state[name], tensor), name
    assert imported.source["file"] == "net.pkl"
    assert imported.source["format"] == "stylegan2-ada-pytorch"


def test_ada_pickle_of_older_numpy_is_read(tmp_path: Path, state: dict[str, Tensor]) -> None:
    content = files.older_numpy(files.ada_pickle(files.ada_generator(state), protocol=3))
    assert b"numpy._core" not in content
    assert b"cnumpy.core.multiarray\nscalar" in content
    assert import_stylegan2(written(tmp_path, content)).architecture.mapping_rate == 0.01


def test_ada_sizes_and_settings_are_the_files(tmp_path: Path) -> None:
    channels = {4: 6, 8: 6, 16: 6, 32: 5, 64: 4}
    state = random_state(channels, latent=5, style=7, layers=3)
    content = files.ada_pickle(files.ada_generator(state, rate=0.02, clamp=None))
    sizes = import_stylegan2(written(tmp_path, content)).architecture
    assert (sizes.resolution, sizes.latent_size, sizes.style_size) == (64, 5, 7)
    assert (sizes.mapping_layers, sizes.mapping_rate, sizes.clamp) == (3, 0.02, None)
    assert sizes.channels == channels


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("make", [files.converted_checkpoint, files.training_checkpoint])
def test_rosinality_checkpoint_gives_the_same_images(
    tmp_path: Path, state: dict[str, Tensor], make: Callable[[Any], Any], archive: bool
) -> None:
    content = files.torch_file(make(state), archive=archive)
    imported = import_stylegan2(written(tmp_path, content, "net.pt"))
    sizes = imported.architecture
    assert (sizes.resolution, sizes.channels, sizes.mapping_layers) == (32, CHANNELS, 2)
    assert (sizes.mapping_rate, sizes.clamp) == (0.01, None)
    _, ours = build(sizes, imported.state)
    _, wanted = build(sizes, state)
    styles = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(styles), wanted(styles), rtol=1e-3, atol=1e-4)


def test_average_style_is_the_files_or_the_mean_of_many(tmp_path: Path, state: dict[str, Tensor]) -> None:
    stored = import_stylegan2(written(tmp_path, files.torch_file(files.converted_checkpoint(state))))
    assert torch.equal(stored.state["mapping.w_avg"], state["mapping.w_avg"])
    path = written(tmp_path, files.torch_file(files.training_checkpoint(state)))
    computed = import_stylegan2(path).state["mapping.w_avg"]
    assert torch.equal(computed, import_stylegan2(path).state["mapping.w_avg"])
    mapping, _ = build(stored.architecture, state)
    drawn = mapping(torch.randn(4 * AVERAGED, 8, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(computed, drawn.mean(0), rtol=0.1, atol=0.05)


def changed(change: Callable[[Any], None]) -> Callable[[dict[str, Tensor]], bytes]:
    """An otherwise good pickle with something of its generator changed."""

    def make(state: dict[str, Tensor]) -> bytes:
        generator = files.ada_generator(state)
        change(generator)
        return files.ada_pickle(generator)

    return make


def set_on(path: str, **attributes: Any) -> Callable[[dict[str, Tensor]], bytes]:
    def change(generator: Any) -> None:
        module = generator.get_submodule(path)
        for name, value in attributes.items():
            setattr(module, name, value)

    return changed(change)


def without(path: str, name: str) -> Callable[[dict[str, Tensor]], bytes]:
    return changed(lambda generator: delattr(generator.get_submodule(path), name))


OTHER_FILTER = torch.outer(torch.tensor([1.0, 2, 2, 1]), torch.tensor([1.0, 2, 2, 1])) / 36


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (set_on("", c_dim=10), r"G_ema\.c_dim is 10; allowed: unconditional generators, c_dim = 0"),
        (set_on("", img_channels=1), r"img_channels is 1; allowed: images of 3 colours"),
        (set_on("", img_resolution=48), r"resolution: .*48 is not supported; allowed are 32, 64,.* 1024"),
        (set_on("", img_resolution=64), r"channels: needs the resolutions \[4, 8, 16, 32, 64\]"),
        (set_on("", z_dim=9), r"'mapping\.fc0\.weight' has shape \(8, 8\), expected \(8, 9\)"),
        (set_on("", z_dim="many"), r"latent_size: "),
        (
            set_on("synthesis.b8", architecture="resnet"),
            r"synthesis\.b8\.architecture is 'resnet'; allowed: .*skips, 'skip'",
        ),
        (set_on("synthesis.b8", architecture="orig"), r"architecture is 'orig'; allowed: .*'skip'"),
        (set_on("synthesis.b8.conv0", activation="relu"), r"conv0\.activation is 'relu'; allowed: lrelu"),
        (set_on("synthesis.b8.conv0", act_gain=1.0), r"act_gain is 1\.0; allowed: .* 1\.41421"),
        (set_on("synthesis.b8.conv0", conv_clamp=None), r"conv_clamp is None; allowed: one for all layers"),
        (set_on("synthesis.b4.conv1", conv_clamp=-1), r"conv_clamp is -1; allowed: a positive number"),
        (set_on("synthesis.b8.torgb", weight_gain=1.0), r"torgb\.weight_gain is 1\.0; allowed: .*0\.408248"),
        (set_on("synthesis.b8.conv0.affine", bias_gain=2.0), r"affine\.bias_gain is 2\.0; allowed: .* 1$"),
        (set_on("mapping.fc1", bias_gain=1.0), r"fc1\.bias_gain is 1\.0; allowed: .*0\.01"),
        (set_on("mapping.fc0", activation="linear"), r"fc0\.activation is 'linear'; allowed: lrelu"),
        (set_on("synthesis.b8", resample_filter=OTHER_FILTER), r"b8\.resample_filter is another than \[1, 3"),
        (without("synthesis.b8", "conv0"), r"has no layer 'synthesis\.b8\.conv0'"),
        (without("synthesis", "b4"), r"has no block 'synthesis\.b4'; allowed: networks of StyleGAN2, not"),
        (without("synthesis", "b16"), r"channels: needs the resolutions"),
        (without("synthesis.b8.conv0", "noise_const"), r"'synthesis\.b8\.conv0\.noise_const' is missing"),
        (without("mapping", "w_avg"), r"'mapping\.w_avg' is missing"),
        (
            lambda state: files.ada_pickle(files.ada_generator(state), G_ema=None),
            "'G_ema' is no network",
        ),
        (lambda state: pickle.dumps({"G": 1}), "holds no 'G_ema', the averaged generator of a snapshot"),
        (lambda state: pickle.dumps([1, 2]), "holds no 'G_ema'"),
    ],
)
def test_other_generators_are_refused_in_one_line(
    tmp_path: Path, state: dict[str, Tensor], make: Callable[[dict[str, Tensor]], bytes], complaint: str
) -> None:
    path = written(tmp_path, make(state))
    with pytest.raises(ValueError, match=complaint) as raised:
        import_stylegan2(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def rosinality(**changes: Any) -> Callable[[dict[str, Tensor]], bytes]:
    def make(state: dict[str, Tensor]) -> bytes:
        checkpoint = files.converted_checkpoint(state)
        checkpoint["g_ema"] |= changes
        checkpoint["g_ema"] = {
            name: value for name, value in checkpoint["g_ema"].items() if value is not None
        }
        return files.torch_file(checkpoint)

    return make


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda state: files.torch_file({"g": {}}), "holds no 'g_ema', the averaged generator"),
        (lambda state: files.torch_file(torch.zeros(3)), "holds no 'g_ema'"),
        (rosinality(**{"conv1.conv.weight": None}), r"'conv1\.conv\.weight' of 'g_ema' is missing"),
        (rosinality(**{"style.1.weight": torch.zeros(3)}), r"has not 2 dimensions"),
        (rosinality(**{"convs.0.conv.blur.kernel": OTHER_FILTER}), r"another filter than \[1, 3, 3, 1\]"),
        (rosinality(**{"noises.noise_1": torch.zeros(2, 1, 8, 8)}), r"noise_1' of 'g_ema' has shape \(2, 1,"),
        (rosinality(**{"input.input": 3}), "'input.input' among the tensors of 'g_ema', which is 3"),
        (rosinality(**{"to_rgbs.2.bias": None}), r"resolution: .*16 is not supported; allowed are 32"),
        (
            rosinality(**{"noises.noise_1": torch.zeros(1).expand(1, 1, 8, 8)}),
            r"has a tensor of shape \(1, 1, 8, 8\) over a storage of 1 numbers",
        ),
        (
            rosinality(**{"noises.noise_1": torch.zeros(1, 1, 8, 8).to_sparse()}),
            "names 'torch._utils._rebuild_sparse_tensor', which is not allowed",
        ),
        (
            rosinality(**{"convs.0.conv.weight": torch.tensor(1.0)}),
            r"conv\.weight' of 'g_ema' has shape \(\)",
        ),
        (rosinality(**{"conv1.conv.weight": torch.tensor(1.0)}), r"has not 5 dimensions"),
        (rosinality(**{"to_rgb1.conv.weight": torch.zeros(1, 3)}), r"'to_rgb1.*has shape \(1, 3\)"),
        (rosinality(**{"style.1.bias": torch.tensor(1.0)}), r"'mapping\.fc0\.bias' has shape \(\), expected"),
        (
            rosinality(**{"conv1.noise.weight": torch.tensor(1.0)}),
            r"'conv1\.noise\.weight' .* has shape \(\)",
        ),
        (rosinality(**{"noises.noise_1": None}), r"'noises\.noise_1' of 'g_ema' is missing"),
        (rosinality(**{"style.1.bias": torch.ones(8, dtype=torch.int64)}), "is of torch.int64, allowed is"),
        (rosinality(**{"style.1.bias": torch.full((8,), float("inf"))}), "holds a number that is not finite"),
    ],
)
def test_other_rosinality_checkpoints_are_refused_in_one_line(
    tmp_path: Path, state: dict[str, Tensor], make: Callable[[dict[str, Tensor]], bytes], complaint: str
) -> None:
    path = written(tmp_path, make(state), "net.pt")
    with pytest.raises(ValueError, match=complaint) as raised:
        import_stylegan2(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("average", "complaint"),
    [
        (torch.zeros(3, 4), r"'latent_avg' is of shape \(3, 4\); allowed: a tensor of 8 numbers"),
        ([0.0] * 8, "'latent_avg' is a value of type list; allowed: a tensor of 8 numbers"),
        ([[torch.zeros(8)]], "'latent_avg' is a value of type list"),
        ("nested", "which is not allowed"),
        ("many", "'latent_avg' is 'many'"),
    ],
)
def test_average_styles_of_another_form_are_refused_in_one_line(
    tmp_path: Path, state: dict[str, Tensor], average: Any, complaint: str
) -> None:
    if average == "nested":  # the first one takes seconds, for which nobody waits who only collects the tests
        average = torch.nested.nested_tensor([torch.zeros(8)], layout=torch.jagged)
    content = files.torch_file(files.converted_checkpoint(state) | {"latent_avg": average})
    with pytest.raises(ValueError, match=complaint) as raised:
        import_stylegan2(written(tmp_path, content, "net.pt"))
    assert "\n" not in str(raised.value)


def parameters(state: dict[str, Tensor]) -> dict[str, Any]:
    """As PyTorch saves parameters that somebody gave attributes of their own, and those that nobody did."""
    result: dict[str, Any] = {name: torch.nn.Parameter(tensor) for name, tensor in state.items()}
    result["style.1.weight"].lr_multiplier = 0.01
    result["style.2.weight"].note = {"a": [1, 2]}
    return result


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda g_ema: {f"module.{name}": tensor for name, tensor in g_ema.items()},
        lambda g_ema: {name: tensor.half() for name, tensor in g_ema.items()},
        lambda g_ema: {name: tensor.bfloat16() for name, tensor in g_ema.items()},
        parameters,
        lambda g_ema: g_ema | {"surprise": torch.zeros(2, dtype=torch.int64)},
    ],
    ids=["wrapped", "half", "bfloat16", "parameters", "unused"],
)
def test_checkpoints_as_they_are_found_are_read(
    tmp_path: Path, state: dict[str, Tensor], change: Callable[[Any], Any], archive: bool
) -> None:
    checkpoint = files.converted_checkpoint(state)
    plain = import_stylegan2(written(tmp_path, files.torch_file(checkpoint), "plain.pt"))
    checkpoint["g_ema"] = change(checkpoint["g_ema"])
    found = import_stylegan2(written(tmp_path, files.torch_file(checkpoint, archive=archive), "net.pt"))
    for name, tensor in plain.state.items():
        assert found.state[name].dtype == torch.float32
        torch.testing.assert_close(found.state[name], tensor, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("archive", [True, False])
def test_settings_of_a_run_may_hold_paths_and_numbers_of_numpy(
    tmp_path: Path, state: dict[str, Tensor], archive: bool
) -> None:
    checkpoint = files.training_checkpoint(state)
    checkpoint["args"].path, checkpoint["args"].other = Path("a/b"), PureWindowsPath("c:/d")
    checkpoint |= {"loss": np.float64(0.5), "seen": np.arange(300), "best": {1, 2}}
    checkpoint["kinds"] = collections.defaultdict(dict, a={"b": 1})
    content = files.torch_file(checkpoint, archive=archive)
    assert import_stylegan2(written(tmp_path, content, "net.pt")).architecture.resolution == 32


def test_checkpoint_without_noise_maps_gets_zeros_and_says_so(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    """Those that were published before rosinality's code kept its noise maps."""
    checkpoint = files.converted_checkpoint(state)
    checkpoint["g_ema"] = {k: v for k, v in checkpoint["g_ema"].items() if not k.startswith("noises.")}
    path = written(tmp_path, files.torch_file(checkpoint), "net.pt")
    imported = import_stylegan2(path)
    maps = [tensor for name, tensor in imported.state.items() if name.endswith("noise_const")]
    assert [tensor.shape[0] for tensor in maps] == [4, 8, 8, 16, 16, 32, 32]
    assert not any(tensor.any() for tensor in maps)
    result = CliRunner().invoke(import_, ["stylegan2", str(path), "--output", str(tmp_path / "mine")])
    assert "Note: the file holds no noise maps" in result.output


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\x89PNG\r\n", b"PK\x03\x04 cut off", b"\x80"])
def test_files_of_other_kinds_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"is no checkpoint of a format that is read|is damaged") as raised:
        import_stylegan2(path)
    assert "\n" not in str(raised.value)


def test_too_large_a_file_is_refused_unread(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, files.ada_pickle(files.ada_generator(state)))
    monkeypatch.setattr(bounds, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=rf"net\.pkl: has {path.stat().st_size} bytes; allowed are 1000"):
        import_stylegan2(path)


def test_command_writes_what_a_pack_reads(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = written(tmp_path, files.ada_pickle(files.ada_generator(state)))
    output = tmp_path / "packs" / "mine"
    result = CliRunner().invoke(import_, ["stylegan2", str(path), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "stylegan2.safetensors: 32 px, latents of 8" in result.output
    assert "[stylegan2]\nresolution = 32\n" in result.output
    assert sorted(file.name for file in output.iterdir()) == ["stylegan2.json", "stylegan2.safetensors"]
    assert load_file(output / "stylegan2.safetensors").keys() == state.keys()
    source = json.loads((output / "stylegan2.json").read_text())["source"]
    assert source["file"] == "net.pkl"
    assert len(source["sha256"]) == 64

    section = StyleGan2Section(resolution=32, truncation=0.7, noise="const")
    read = load_stylegan2(output / "stylegan2.safetensors", section, coarsest=8, finest=16)
    imported = import_stylegan2(path)
    made = StyleGan2Generator(imported.architecture, imported.state, coarsest=8, finest=16, section=section)
    latents = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read.images(latents), made.images(latents))


def test_command_tells_a_refusal_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, b"no checkpoint")
    output = tmp_path / "mine"
    result = CliRunner().invoke(import_, ["stylegan2", str(path), "--output", str(output)])
    assert result.exit_code == 1
    assert result.output.startswith(
        f"Error: {path}: is no checkpoint of a format that is read: stylegan2-ada"
    )
    assert not output.exists()
