from pathlib import Path

import pytest
import torch
from torch import nn

from training.config.weights import load_weights, save_weights


def network(size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 2), nn.BatchNorm1d(2))


def test_weights_come_back_in_single_precision_as_half_stored_them(tmp_path: Path) -> None:
    saved = network()
    save_weights(saved, tmp_path, "net")
    loaded = load_weights(network(), tmp_path, "net")
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for key, tensor in saved.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        torch.testing.assert_close(loaded.state_dict()[key], expected, rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_numbers_that_cannot_be_stored_are_refused_and_the_file_kept(tmp_path: Path, value: float) -> None:
    path = save_weights(network(), tmp_path, "net")
    before = path.read_bytes()
    diverged = network()
    nn.init.constant_(diverged.get_parameter("0.weight"), value)
    with pytest.raises(ValueError, match=r"net: 0\.weight holds a number that half precision cannot"):
        save_weights(diverged, tmp_path, "net")
    assert path.read_bytes() == before


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"net\.safetensors is missing: train it with `maskweave train`"
    ):
        load_weights(network(), tmp_path, "net")


def test_file_of_another_shape_is_refused_in_one_line(tmp_path: Path) -> None:
    save_weights(network(), tmp_path, "net")
    with pytest.raises(
        ValueError, match=r"does not fit the pack's configuration: size mismatch for 0\."
    ) as raised:
        load_weights(network(size=4), tmp_path, "net")
    assert "\n" not in str(raised.value)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = save_weights(network(), tmp_path, "net")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"net\.safetensors is no safetensors file"):
        load_weights(network(), tmp_path, "net")
