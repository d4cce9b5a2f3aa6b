"""StyleGAN2 by its definition, one sample at a time in NumPy: what our network is compared with.

Written from the papers' formulas (weights modulated, demodulated and convolved sample by sample, zeros put in
and filtered tap by tap), and from nothing of `training.generators`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
State = dict[str, Tensor]


def random_state(
    channels: dict[int, int], latent: int = 8, style: int = 8, layers: int = 2, seed: int = 0
) -> State:
    """An untrained generator as stylegan2-ada-pytorch initialises it, with nothing left at zero."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=random) * scale

    state: State = {"mapping.w_avg": normal(style, scale=0.3)}
    width = latent
    for i in range(layers):
        state[f"mapping.fc{i}.weight"] = normal(style, width, scale=100)  # over the rate of 0.01
        state[f"mapping.fc{i}.bias"] = normal(style, scale=10)
        width = style
    width = channels[4]
    state["synthesis.b4.const"] = normal(width, 4, 4)
    for r, outputs in sorted(channels.items()):
        for name in ("conv1",) if r == 4 else ("conv0", "conv1"):
            layer = f"synthesis.b{r}.{name}"
            state[f"{layer}.weight"] = normal(outputs, width, 3, 3)
            state[f"{layer}.bias"] = normal(outputs, scale=0.2)
            state[f"{layer}.noise_const"] = normal(r, r)
            state[f"{layer}.noise_strength"] = normal(scale=0.2)
            state[f"{layer}.affine.weight"] = normal(width, style)
            state[f"{layer}.affine.bias"] = 1 + normal(width, scale=0.1)
            width = outputs
        layer = f"synthesis.b{r}.torgb"
        state[f"{layer}.weight"] = normal(3, width, 1, 1, scale=0.3)
        state[f"{layer}.bias"] = normal(3, scale=0.1)
        state[f"{layer}.affine.weight"] = normal(width, style)
        state[f"{layer}.affine.bias"] = 1 + normal(width, scale=0.1)
    return state


def as_arrays(state: State) -> dict[str, Array]:
    """The tensors in double precision."""
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def lrelu(x: Array, clamp: float | None) -> Array:
    y = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    return np.asarray(y) if clamp is None else np.clip(y, -clamp, clamp)


def correlate(x: Array, w: Array) -> Array:
    """Same-size correlation, zeros around: `[I, h, w]` with `[O, I, k, k]`."""
    k = w.shape[2]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    result = np.zeros((w.shape[0], *x.shape[1:]))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            result[:, i, j] = np.tensordot(w, padded[:, i : i + k, j : j + k], axes=3)
    return result


def low_pass(x: Array, pad: tuple[int, int]) -> Array:
    """The filter 1 3 3 1 along both axes, of gain 4 in all, over zero-padded maps."""
    taps = np.array([1, 3, 3, 1]) / 8
    padded = np.pad(x, ((0, 0), pad, pad))
    rows = sum(taps[i] * padded[:, i : padded.shape[1] - 3 + i] for i in range(4))
    return np.asarray(4 * sum(taps[i] * rows[:, :, i : rows.shape[2] - 3 + i] for i in range(4)))


def spread(x: Array) -> Array:
    """A zero after every value, along both axes."""
    result = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
    result[:, ::2, ::2] = x
    return result


def scatter(x: Array, w: Array) -> Array:
    """Transposed convolution of stride 2: every value paints its scaled kernel, 2h+1 cells in all."""
    result = np.zeros((w.shape[0], 2 * x.shape[1] + 1, 2 * x.shape[2] + 1))
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            result[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.tensordot(w, x[:, i, j], axes=([1], [0]))
    return result


def dense(state: dict[str, Array], layer: str, x: Array, rate: float = 1.0) -> Array:
    weight = state[f"{layer}.weight"] * rate / np.sqrt(state[f"{layer}.weight"].shape[1])
    return np.asarray(weight @ x + state[f"{layer}.bias"] * rate)


def mapping(state: dict[str, Array], z: Array, rate: float) -> Array:
    x = z / np.sqrt((z**2).mean() + 1e-8)
    for i in range(sum(name.startswith("mapping.fc") for name in state) // 2):
        x = lrelu(dense(state, f"mapping.fc{i}", x, rate), None)
    return np.asarray(x)


def convolution(
    state: dict[str, Array], layer: str, x: Array, w: Array, noise: Array | None, clamp: float | None
) -> Array:
    scales = dense(state, f"{layer}.affine", w)
    modulated = state[f"{layer}.weight"] * scales[None, :, None, None]
    demodulated = modulated / np.sqrt((modulated**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    y = low_pass(scatter(x, demodulated), (1, 1)) if "conv0" in layer else correlate(x, demodulated)
    if noise is not None:
        y = y + noise * state[f"{layer}.noise_strength"]
    return lrelu(y + state[f"{layer}.bias"][:, None, None], clamp)


def colors(state: dict[str, Array], layer: str, x: Array, w: Array, clamp: float | None) -> Array:
    weight = state[f"{layer}.weight"]
    scales = dense(state, f"{layer}.affine", w) / np.sqrt(weight.shape[1])
    y = correlate(x, weight * scales[None, :, None, None]) + state[f"{layer}.bias"][:, None, None]
    return y if clamp is None else np.clip(y, -clamp, clamp)


def synthesis(
    state: dict[str, Array], ws: Array, noise: dict[str, Array] | str, clamp: float | None
) -> dict[int, tuple[Array, Array]]:
    """Features and image so far at each resolution, of one sample's styles `[layers, style]`."""

    def noise_of(layer: str) -> Array | None:
        if isinstance(noise, dict):
            return noise[layer]
        return state[f"{layer}.noise_const"] if noise == "const" else None

    def convolved(layer: str, x: Array, w: Array) -> Array:
        return convolution(state, layer, x, w, noise_of(layer), clamp)

    x = convolved("synthesis.b4.conv1", state["synthesis.b4.const"], ws[0])
    image = colors(state, "synthesis.b4.torgb", x, ws[1], clamp)
    result: dict[int, tuple[Any, Any]] = {4: (x, image)}
    r, first = 8, 1
    while f"synthesis.b{r}.torgb.bias" in state:
        x = convolved(f"synthesis.b{r}.conv0", x, ws[first])
        x = convolved(f"synthesis.b{r}.conv1", x, ws[first + 1])
        image = low_pass(spread(image), (2, 1)) + colors(
            state, f"synthesis.b{r}.torgb", x, ws[first + 2], clamp
        )
        result[r] = x, image
        r, first = 2 * r, first + 2
    return result
