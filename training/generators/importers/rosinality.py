"""Reads checkpoints of stylegan2-pytorch by rosinality (`.pt`), trained or converted.

PyTorch reads them, with `weights_only`, which builds tensors and plain values and runs nothing. A training
checkpoint also holds an `argparse.Namespace`, which is a bag of values and is let in; a converted one holds
the average style, which for a training checkpoint is computed.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import warnings
import zipfile

import numpy as np
import torch
from torch import Tensor

from training.generators.stylegan2.architecture import START, Architecture, State, checked_state, convolutions
from training.generators.stylegan2.network import MappingNetwork

FORMAT = "rosinality/stylegan2-pytorch"
ZIP = b"PK\x03\x04"
MAPPING_RATE = 0.01
"""Of the code's mapping layers; no file says it."""
AVERAGED = 10_000
"""Latents whose mean style is taken where a file holds none."""
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
GIVEN = "'g_ema', the averaged generator"


def read_rosinality(content: bytes) -> tuple[Architecture, dict[str, Tensor]]:
    """A generator's sizes and tensors.

    Raises:
        ValueError: if the file is damaged, holds more than tensors and plain values, or another generator.
    """
    checkpoint = _loaded(content)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("g_ema"), dict):
        raise ValueError(f"holds no {GIVEN} of {FORMAT}")
    state = _tensors(checkpoint["g_ema"])
    _check_filters(state)
    architecture = _architecture(state)
    renamed = _renamed(state, architecture)
    average = checkpoint.get("latent_avg")
    renamed["mapping.w_avg"] = (
        _tensors({"latent_avg": average})["latent_avg"].flatten()
        if isinstance(average, Tensor)
        else _average_style(architecture, renamed)
    )
    return architecture, renamed


def _loaded(content: bytes) -> object:
    try:
        if content.startswith(ZIP) and _grows(content):
            raise ValueError("is a compressed archive, which torch.save does not write")
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about files of its own older versions
            loaded: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # reading untrusted bytes can fail in any way
        reason = " ".join(str(error).split())
        named = re.search(r"(?:GLOBAL|global|class|type) (\S+)", reason)
        told = f"it names {named[1][:80]}" if named else f"{type(error).__name__}: {reason[:120]}"
        raise ValueError(
            f"holds more than tensors and plain values, which alone are allowed, or is damaged ({told})"
        ) from None
    return loaded


def _grows(content: bytes) -> bool:
    """Whether an archive's entries are larger than it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    return not stored or sum(entry.file_size for entry in entries) > len(content)


def _tensors(state: dict[object, object]) -> dict[str, Tensor]:
    """Plain tensors with bytes of their own: none repeats a number to look larger than its file."""
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"has {name!r:.80} among the tensors of 'g_ema', which is none")
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"has a tensor {name!r:.80} that is not plain numbers")
        tensors[name] = value
    return tensors


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
    if tensor.dim() < leading or any(size != 1 for size in tensor.shape[:leading]):
        raise ValueError(f"tensor {theirs!r} of 'g_ema' has shape {tuple(tensor.shape)}")
    for _ in range(leading):
        tensor = tensor[0]
    if ours.endswith("torgb.bias"):
        return tensor.flatten()  # theirs is [1, 3, 1, 1]
    if re.search(r"\.conv[01]\.weight$", ours):
        # Theirs is scaled before demodulation and ours is not: the same, but for what guards against zero.
        return tensor.float() / math.sqrt(max(1, tensor[0].numel() if len(tensor) else 1))
    return tensor


def _average_style(architecture: Architecture, state: State) -> Tensor:
    """Mean style of many latents, the same ones every time."""
    complete = {"mapping.w_avg": torch.zeros(architecture.style_size), **state}
    mapping = MappingNetwork(architecture, checked_state(complete, architecture))
    latents = np.random.RandomState(0).standard_normal((AVERAGED, architecture.latent_size))
    mean: Tensor = mapping(torch.from_numpy(latents.astype(np.float32))).mean(0)
    return mean
