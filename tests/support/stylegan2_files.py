"""StyleGAN2 checkpoints as other people's code writes them, made of a generator's plain tensors.

The pickles are made by Python's own pickler from modules of PyTorch that reduce themselves the way
stylegan2-ada-pytorch's do; nothing here knows how they are read.
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

State = dict[str, Tensor]
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
SOURCE = "raise SystemExit('the source of a file was run')\n"


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError(f"the file's own way to read {meta['class_name']} was taken")


class EasyDict(dict[str, Any]):
    """Stands for `dnnlib.util.EasyDict`."""


@contextmanager
def writers_modules() -> Iterator[None]:
    """Lets the pickler name these stand-ins as if they were in the modules of their originals."""
    modules = {
        name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    for module, value in (
        ("torch_utils.persistence", _reconstruct_persistent_obj),
        ("dnnlib.util", EasyDict),
    ):
        setattr(modules[module], value.__name__, value)
    with (
        patch.dict(sys.modules, modules),
        patch.object(_reconstruct_persistent_obj, "__module__", "torch_utils.persistence"),
        patch.object(EasyDict, "__module__", "dnnlib.util"),
    ):
        yield


class Persistent(nn.Module):
    """A module that pickles as `torch_utils.persistence.persistent_class` makes it."""

    def __init__(self, class_name: str, source: str = SOURCE, **attributes: Any) -> None:
        super().__init__()
        self._written = class_name, source
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name != "_written"}
        class_name, source = self._written
        meta = EasyDict(type="class", version=6, module_src=source, class_name=class_name, state=state)
        return _reconstruct_persistent_obj, (meta,), None


def _dense(state: State, name: str, activation: str = "linear", rate: float = 1.0) -> Persistent:
    weight = state[f"{name}.weight"]
    layer = Persistent(
        "FullyConnectedLayer",
        activation=activation,
        weight_gain=rate / np.sqrt(weight.shape[1]),
        bias_gain=rate,
        _init_args=(weight.shape[1], weight.shape[0]),
        _init_kwargs=EasyDict(activation=activation, lr_multiplier=rate),
    )
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(state[f"{name}.bias"])
    return layer


def _filter() -> Tensor:
    return torch.outer(TAPS, TAPS) / TAPS.sum() ** 2


def _convolution(state: State, name: str, clamp: float | None) -> Persistent:
    weight = state[f"{name}.weight"]
    layer = Persistent(
        "SynthesisLayer",
        resolution=len(state[f"{name}.noise_const"]),
        up=2 if name.endswith("conv0") else 1,
        use_noise=True,
        activation="lrelu",
        conv_clamp=clamp,
        padding=1,
        act_gain=np.sqrt(2),
    )
    layer.register_buffer("resample_filter", _filter())
    layer.affine = _dense(state, f"{name}.affine")
    layer.weight = nn.Parameter(weight.to(memory_format=torch.channels_last))
    layer.noise_strength = nn.Parameter(state[f"{name}.noise_strength"])
    layer.register_buffer("noise_const", state[f"{name}.noise_const"])
    layer.bias = nn.Parameter(state[f"{name}.bias"])
    return layer


def _colors(state: State, name: str, clamp: float | None) -> Persistent:
    weight = state[f"{name}.weight"]
    layer = Persistent("ToRGBLayer", conv_clamp=clamp, weight_gain=1 / np.sqrt(weight.shape[1]))
    layer.affine = _dense(state, f"{name}.affine")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(state[f"{name}.bias"])
    return layer


def ada_generator(
    state: State, rate: float = 0.01, clamp: float | None = 256, **attributes: Any
) -> Persistent:
    """An object such as stylegan2-ada-pytorch's `G_ema`."""
    blocks = sum(name.endswith(".torgb.bias") for name in state)
    mapping = Persistent("MappingNetwork", w_avg_beta=0.995)
    layers = sum(name.startswith("mapping.fc") for name in state) // 2
    for i in range(layers):
        setattr(mapping, f"fc{i}", _dense(state, f"mapping.fc{i}", "lrelu", rate))
    mapping.register_buffer("w_avg", state["mapping.w_avg"])
    resolutions = [4 << i for i in range(blocks)]
    synthesis = Persistent("SynthesisNetwork", block_resolutions=resolutions)
    for resolution in resolutions:
        name = f"synthesis.b{resolution}"
        block = Persistent("SynthesisBlock", architecture="skip", use_fp16=resolution > 8)
        block.register_buffer("resample_filter", _filter())
        if resolution == 4:
            block.const = nn.Parameter(state[f"{name}.const"])
        else:
            block.conv0 = _convolution(state, f"{name}.conv0", clamp)
        block.conv1 = _convolution(state, f"{name}.conv1", clamp)
        block.torgb = _colors(state, f"{name}.torgb", clamp)
        setattr(synthesis, f"b{resolution}", block)
    sizes = {
        "z_dim": state["mapping.fc0.weight"].shape[1],
        "c_dim": 0,
        "w_dim": state["mapping.fc0.weight"].shape[0],
        "img_resolution": resolutions[-1],
        "img_channels": 3,
    }
    generator = Persistent(
        "Generator",
        **(sizes | attributes),
        _init_args=(),
        _init_kwargs=EasyDict(mapping_kwargs=EasyDict(num_layers=layers), synthesis_kwargs=EasyDict()),
    )
    generator.synthesis, generator.mapping = synthesis, mapping
    return generator.eval().requires_grad_(False)


def ada_pickle(generator: Any, protocol: int = 4, **others: Any) -> bytes:
    """A whole snapshot; `others` stand beside the generator."""
    discriminator = Persistent("Discriminator", c_dim=0)
    discriminator.b32 = nn.Conv2d(3, 4, 1).weight
    snapshot = {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=10),
        "G": generator,
        "D": discriminator,
        "G_ema": generator,
        "augment_pipe": None,
        **others,
    }
    with writers_modules():
        return pickle.dumps(snapshot, protocol=protocol)


def older_numpy(content: bytes) -> bytes:
    """A pickle of protocol 3 as NumPy before 2.0 writes it."""
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def rosinality_state(state: State) -> State:
    """The same generator by rosinality's names, shapes and scales."""
    result: State = {"input.input": state["synthesis.b4.const"][None]}
    i = 0
    while f"mapping.fc{i}.weight" in state:
        for part in ("weight", "bias"):
            result[f"style.{i + 1}.{part}"] = state[f"mapping.fc{i}.{part}"]
        i += 1
    kernel = _filter() * 4
    resolution, noises, step = 4, 0, 0
    while f"synthesis.b{resolution}.torgb.bias" in state:
        names = {"conv1": "conv1", "torgb": "to_rgb1"}
        if resolution > 4:
            names = {
                "conv0": f"convs.{2 * step - 2}",
                "conv1": f"convs.{2 * step - 1}",
                "torgb": f"to_rgbs.{step - 1}",
            }
        for ours, theirs in names.items():
            layer = f"synthesis.b{resolution}.{ours}"
            result[f"{theirs}.conv.weight"] = state[f"{layer}.weight"][None]
            for part in ("weight", "bias"):
                result[f"{theirs}.conv.modulation.{part}"] = state[f"{layer}.affine.{part}"]
            if ours == "torgb":
                result[f"{theirs}.bias"] = state[f"{layer}.bias"].reshape(1, 3, 1, 1)
                if resolution > 4:
                    result[f"{theirs}.upsample.kernel"] = kernel
                continue
            if ours == "conv0":
                result[f"{theirs}.conv.blur.kernel"] = kernel
            result[f"{theirs}.noise.weight"] = state[f"{layer}.noise_strength"].reshape(1)
            result[f"{theirs}.activate.bias"] = state[f"{layer}.bias"]
            result[f"noises.noise_{noises}"] = state[f"{layer}.noise_const"][None, None]
            noises += 1
        resolution, step = 2 * resolution, step + 1
    return result


def converted_checkpoint(state: State) -> dict[str, Any]:
    """As rosinality's converter writes it: no settings, the average style beside the generator."""
    return {"g_ema": rosinality_state(state), "latent_avg": state["mapping.w_avg"]}


def training_checkpoint(state: State) -> dict[str, Any]:
    """As rosinality's training writes it: settings and optimisers, no average style."""
    generator = rosinality_state(state)
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.002}]}
    return {
        "g": generator,
        "d": {"final_conv.0.weight": torch.zeros(1)},
        "g_ema": generator,
        "g_optim": optimizer,
        "d_optim": optimizer,
        "args": argparse.Namespace(path="lmdb", size=32, batch=16, channel_multiplier=2),
        "ada_aug_p": 0.0,
    }


def torch_file(value: Any, *, archive: bool = True) -> bytes:
    """What `torch.save` writes, as the archive of today or as before 1.6."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=archive)
    return stream.getvalue()


def naming(function: Callable[..., Any], *arguments: Any, protocol: int = 4) -> bytes:
    """A pickle that calls a function when it is read by Python's own unpickler."""

    class Calling:
        def __reduce__(self) -> tuple[Any, ...]:
            return function, arguments

    return pickle.dumps({"G_ema": Calling()}, protocol=protocol)
