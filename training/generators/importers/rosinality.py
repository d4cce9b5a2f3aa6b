"""Reads checkpoints of stylegan2-pytorch by rosinality (`.pt`), trained or converted.

A file of `torch.save`, read as data. A training checkpoint also holds its settings and optimisers, which are
let in and left alone; a converted one holds the average style, which for a training checkpoint is computed.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.generators.importers.pickled import shown
from training.generators.importers.torch_files import read_torch
from training.generators.importers.torch_values import PickledTensor, taken
from training.generators.stylegan2.architecture import (
    START,
    Architecture,
    State,
    checked_state,
    convolutions,
    tensor_shapes,
)
from training.generators.stylegan2.network import MappingNetwork

FORMAT = "rosinality/stylegan2-pytorch"
MAPPING_RATE = 0.01
"""Of the code's mapping layers; no file says it."""
AVERAGED = 10_000
"""Latents whose mean style is taken where a file holds none."""
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
GIVEN = "'g_ema', the averaged generator"
WRAPPER = "module."
"""What PyTorch's data parallelism puts before every name."""
MAX_TENSORS = 1000
"""Of a generator; one of 1024 px has some two hundred."""
USED = re.compile(
    r"input\.input|noises\.noise_\d{1,3}|style\.\d{1,3}\.(weight|bias)"
    r"|(conv1|to_rgb1|convs\.\d{1,3}|to_rgbs\.\d{1,3})\.[a-z.]{1,40}"
)


def read_rosinality(content: bytes) -> tuple[Architecture, dict[str, Tensor], tuple[str, ...]]:
    """A generator's sizes and tensors, and what is to be said of how they were come by.

    Raises:
        ValueError: if the file is damaged, wants to run something, or holds another generator.
    """
    checkpoint = read_torch(content)
    if type(checkpoint) is not dict or type(checkpoint.get("g_ema")) is not dict:
        raise ValueError(f"holds no {GIVEN} of {FORMAT}")
    state = _tensors(checkpoint["g_ema"], len(content))
    _check_filters(state)
    architecture = _architecture(state)
    remarks: tuple[str, ...] = ()
    if not any(name.startswith("noises.") for name in state):
        state |= _no_noise(architecture)
        remarks = ('the file holds no noise maps: noise = "const" and noise = "none" are the same',)
    renamed = _renamed(state, architecture)
    average = _average(checkpoint.get("latent_avg"), architecture)
    renamed["mapping.w_avg"] = _average_style(architecture, renamed) if average is None else average
    return architecture, renamed, remarks


def _tensors(stored: dict[Any, Any], size: int) -> dict[str, Tensor]:
    """What a generator is made of, in single precision and without the wrapper's prefix."""
    if len(stored) > MAX_TENSORS:
        raise ValueError(f"has {len(stored)} tensors in 'g_ema'; allowed are {MAX_TENSORS}")
    wrapped = all(type(name) is str and name.startswith(WRAPPER) for name in stored)
    wanted: dict[str, PickledTensor] = {}
    for name, value in stored.items():
        if type(name) is not str or type(value) is not PickledTensor:
            raise ValueError(f"has {shown(name)} among the tensors of 'g_ema', which is {shown(value)}")
        own = name.removeprefix(WRAPPER) if wrapped else name
        if USED.fullmatch(own):
            wanted[own] = value
    tensors = taken(wanted, size)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"tensor {name!r} of 'g_ema' is of {tensor.dtype}, allowed is floating point")
    return {name: tensor.float() for name, tensor in tensors.items()}


def _average(stored: Any, architecture: Architecture) -> Tensor | None:
    """The average style that a file holds; None if it holds none."""
    if stored is None:
        return None
    if type(stored) is not PickledTensor or math.prod(stored.shape) != architecture.style_size:
        found = f"of shape {stored.shape}" if type(stored) is PickledTensor else shown(stored)
        raise ValueError(f"'latent_avg' is {found}; allowed: a tensor of {architecture.style_size} numbers")
    return stored.tensor().flatten()


def _no_noise(architecture: Architecture) -> dict[str, Tensor]:
    """Maps of zeros: noise is no part of checkpoints from before the code kept it."""
    shapes = tensor_shapes(architecture)
    maps = [shape for name, shape in shapes.items() if name.endswith(".noise_const")]
    return {f"noises.noise_{i}": torch.zeros(1, 1, *shape) for i, shape in enumerate(maps)}


def _check_filters(state: State) -> None:
    wanted = torch.outer(TAPS, TAPS) / TAPS.sum() ** 2 * 4
    for name, tensor in state.items():
        if name.endswith(".kernel") and (tensor.shape != wanted.shape or not torch.allclose(tensor, wanted)):
            raise ValueError(f"{name!r} is another filter than [1, 3, 3, 1], the only one allowed")


def _architecture(state: State) -> Architecture:
    steps = sum(1 for name in state if re.fullmatch(r"to_rgbs\.\d+\.bias", name))
    resolutions = [START << i for i in range(steps + 1)]
    layers = sum(1 for name in state if re.fullmatch(r"style\.\d+\.weight", name))
    first = _of_rank(state, "style.1.weight", 2)
    return Architecture(
        resolution=resolutions[-1],
        latent_size=first[1],
        style_size=first[0],
        mapping_layers=layers,
        mapping_rate=MAPPING_RATE,
        channels={r: _of_rank(state, f"{_layer(r, 'conv1')}.conv.weight", 5)[1] for r in resolutions},
        clamp=None,
    )


def _of_rank(state: State, name: str, rank: int) -> tuple[int, ...]:
    if name not in state or state[name].dim() != rank:
        raise ValueError(f"tensor {name!r} of 'g_ema' is missing or has not {rank} dimensions")
    return tuple(state[name].shape)


def _layer(resolution: int, name: str) -> str:
    """Their name of a block's layer."""
    step = (resolution // START).bit_length() - 1
    if resolution == START:
        return "to_rgb1" if name == "torgb" else "conv1"
    return f"to_rgbs.{step - 1}" if name == "torgb" else f"convs.{2 * step - 2 + int(name[-1])}"


def _renamed(state: State, architecture: Architecture) -> dict[str, Tensor]:
    """Tensors by our names, which are stylegan2-ada-pytorch's, in its shapes and scales."""
    sources: dict[str, tuple[str, int]] = {"synthesis.b4.const": ("input.input", 1)}
    for i in range(architecture.mapping_layers):
        for part in ("weight", "bias"):
            sources[f"mapping.fc{i}.{part}"] = (f"style.{i + 1}.{part}", 0)
    noises = 0
    for r in architecture.resolutions:
        for name in (*convolutions(r), "torgb"):
            ours, theirs = f"synthesis.b{r}.{name}", _layer(r, name)
            sources[f"{ours}.weight"] = (f"{theirs}.conv.weight", 1)
            sources[f"{ours}.affine.weight"] = (f"{theirs}.conv.modulation.weight", 0)
            sources[f"{ours}.affine.bias"] = (f"{theirs}.conv.modulation.bias", 0)
            if name == "torgb":
                sources[f"{ours}.bias"] = (f"{theirs}.bias", 1)
                continue
            sources[f"{ours}.bias"] = (f"{theirs}.activate.bias", 0)
            sources[f"{ours}.noise_strength"] = (f"{theirs}.noise.weight", 1)
            sources[f"{ours}.noise_const"] = (f"noises.noise_{noises}", 2)
            noises += 1
    return {ours: _moved(state, ours, *source) for ours, source in sources.items()}


def _moved(state: State, ours: str, theirs: str, leading: int) -> Tensor:
    """One tensor without its `leading` dimensions of size 1, and with the scale that it is used at."""
    if theirs not in state:
        raise ValueError(f"tensor {theirs!r} of 'g_ema' is missing")
    tensor = state[theirs]
    least = 4 if ours.endswith(".weight") and leading else 0
    if tensor.dim() < leading + least or any(size != 1 for size in tensor.shape[:leading]):
        raise ValueError(f"tensor {theirs!r} of 'g_ema' has shape {tuple(tensor.shape)}")
    for _ in range(leading):
        tensor = tensor[0]
    if ours.endswith("torgb.bias"):
        return tensor.flatten()  # theirs is [1, 3, 1, 1]
    if re.search(r"\.conv[01]\.weight$", ours):
        # Theirs is scaled before demodulation and ours is not: the same, but for what guards against zero.
        return tensor / math.sqrt(max(1, math.prod(tensor.shape[1:])))
    return tensor


def _average_style(architecture: Architecture, state: State) -> Tensor:
    """Mean style of many latents, the same ones every time."""
    complete = {"mapping.w_avg": torch.zeros(architecture.style_size), **state}
    mapping = MappingNetwork(architecture, checked_state(complete, architecture))
    latents = np.random.RandomState(0).standard_normal((AVERAGED, architecture.latent_size))
    mean: Tensor = mapping(torch.from_numpy(latents.astype(np.float32))).mean(0)
    return mean
