"""Reads pickles of stylegan2-ada-pytorch (`network-snapshot-*.pkl`), and of stylegan3's StyleGAN2 networks.

Such a file holds the source text of its classes beside their state, and is meant to be read by running it.
Here the text is never looked at: an object is a record of its class's name and its state, and the network
that it is run by is ours. Whatever of its settings our network does not have is refused.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor

from training.generators.importers.opcodes import Budget, PickleRefusedError
from training.generators.importers.pickled import Table, read_pickle, shown
from training.generators.importers.torch_storages import LegacyStorages
from training.generators.importers.torch_values import VALUES, PickledTensor, taken, value_calls
from training.generators.stylegan2.architecture import (
    COLORS,
    START,
    Architecture,
    convolutions,
    tensor_shapes,
)

FORMAT = "stylegan2-ada-pytorch"
MAX_GAIN = 1e6
MAX_MODULES = 1000
"""A generator of 1024 px has less than a hundred."""
TAPS = (1, 3, 3, 1)


States = dict[str, dict[str, Any]]
"""Attributes of modules by their path."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An object of the file's own classes, of which nothing was run."""

    class_name: str
    state: dict[str, Any]


def _record(meta: Any) -> Record:
    if (
        type(meta) is not dict
        or type(meta.get("class_name")) is not str
        or type(meta.get("state")) is not dict
    ):
        raise PickleRefusedError("has a persistent object without class name or state")
    return Record(meta["class_name"], meta["state"])


def ada_table(budget: Budget) -> Table:
    """What a snapshot may name, within the file's budget."""
    return Table(
        calls={
            **value_calls(budget),
            "torch.storage._load_from_bytes": LegacyStorages(budget).load,
            "torch_utils.persistence._reconstruct_persistent_obj": _record,
            "dnnlib.util.EasyDict": lambda *_: {},
        },
        values=VALUES,
        hints={
            "dnnlib.tflib.network.Network": "this is a file of the TensorFlow version; legacy.py of "
            "stylegan2-ada-pytorch makes one of the PyTorch version of it",
        },
    )


def read_ada(content: bytes) -> tuple[Architecture, dict[str, Tensor]]:
    """A generator's sizes and tensors.

    Raises:
        ValueError: if the file is damaged, wants to run something, or holds another kind of generator.
    """
    budget = Budget()
    snapshot = read_pickle(io.BytesIO(content), ada_table(budget), budget=budget)
    if type(snapshot) is not dict or "G_ema" not in snapshot:
        raise ValueError(f"holds no 'G_ema', the averaged generator of a snapshot of {FORMAT}")
    generator = snapshot["G_ema"]
    if type(generator) is not Record:
        raise ValueError("'G_ema' is no network")
    states = _modules(generator)
    architecture = Architecture.model_validate(_sizes(states))
    wanted: dict[str, PickledTensor] = {}
    # Only what is wanted is taken out, and only in the shape that it is wanted in.
    for name, shape in tensor_shapes(architecture).items():
        found = _tensor(states, name)
        if found is not None and found.shape != shape:
            raise ValueError(f"tensor {name!r} has shape {found.shape}, expected {shape}")
        if found is not None:
            wanted[name] = found
    return architecture, taken(wanted, len(content))


def _modules(top: Record) -> States:
    """The attributes of all modules; objects may refer to each other in circles, so they are counted."""
    found: States = {}
    waiting = [("", top)]
    for _ in range(MAX_MODULES):
        if not waiting:
            return found
        path, record = waiting.pop()
        found[path] = record.state
        children = record.state.get("_modules")
        if type(children) is not dict:
            continue
        if len(children) > MAX_MODULES:
            break
        for name, child in children.items():
            if type(child) is not Record:
                continue
            if len(waiting) >= MAX_MODULES:
                break
            if not re.fullmatch(r"\w{1,64}", str(name)):
                raise ValueError(f"has a module of the name {shown(name)}; allowed are letters and digits")
            waiting.append((f"{path}.{name}" if path else str(name), child))
    raise ValueError(f"has more than {MAX_MODULES} modules")


def _tensor(states: States, name: str) -> PickledTensor | None:
    """A module's parameter or buffer by its path; None if there is none."""
    path, _, own = name.rpartition(".")
    for kind in ("_parameters", "_buffers"):
        values = states.get(path, {}).get(kind)
        value = values.get(own) if type(values) is dict else None
        if type(value) is PickledTensor:
            return value
    return None


def _sizes(states: States) -> dict[str, Any]:
    """Sizes, as modules' attributes say; every setting that our network does not have is refused."""
    top = states[""]
    _require(top, "G_ema", "c_dim", 0, "unconditional generators, c_dim = 0")
    _require(top, "G_ema", "img_channels", COLORS, "images of 3 colours")
    blocks = sorted(
        int(found[1]) for name in states if (found := re.fullmatch(r"synthesis\.b([1-9][0-9]{0,4})", name))
    )
    if START not in blocks:
        raise ValueError(
            "has no block 'synthesis.b4'; allowed: networks of StyleGAN2, not StyleGAN3 or others"
        )
    for r in blocks:
        _check_block(states, r)
    clamp = states["synthesis.b4.conv1"].get("conv_clamp")
    if clamp is not None:
        _positive(states, "synthesis.b4.conv1", "conv_clamp")
    for name in (f"synthesis.b{r}.{layer}" for r in blocks for layer in (*convolutions(r), "torgb")):
        _require(states[name], name, "conv_clamp", clamp, "one for all layers")
    dense = [f"mapping.fc{i}" for i in range(len(states)) if f"mapping.fc{i}" in states]
    if not dense:
        raise ValueError("has no layer 'mapping.fc0'")
    rate = _positive(states, dense[0], "bias_gain")
    for name in dense:
        _require(states[name], name, "activation", "lrelu", "lrelu")
        _require_close(states[name], name, "bias_gain", rate)
        _require_close(states[name], name, "weight_gain", rate / math.sqrt(_inputs(states, name)))
    return {
        "resolution": top.get("img_resolution"),
        "latent_size": top.get("z_dim"),
        "style_size": top.get("w_dim"),
        "mapping_layers": len(dense),
        "mapping_rate": rate,
        "channels": {r: _channels(states, r) for r in blocks},
        "clamp": clamp,
    }


def _check_block(states: States, resolution: int) -> None:
    block = f"synthesis.b{resolution}"
    _require(states[block], block, "architecture", "skip", "the architecture with output skips, 'skip'")
    for layer in (*convolutions(resolution), "torgb"):
        name = f"{block}.{layer}"
        if name not in states or f"{name}.affine" not in states:
            raise ValueError(f"has no layer {name!r}")
        affine = states[f"{name}.affine"]
        _require(affine, f"{name}.affine", "activation", "linear", "linear")
        _require_close(affine, f"{name}.affine", "bias_gain", 1.0)
        _require_close(
            affine, f"{name}.affine", "weight_gain", 1 / math.sqrt(_inputs(states, f"{name}.affine"))
        )
        if layer == "torgb":
            _require_close(states[name], name, "weight_gain", 1 / math.sqrt(_inputs(states, name)))
        else:
            _require(states[name], name, "activation", "lrelu", "lrelu")
            _require_close(states[name], name, "act_gain", math.sqrt(2))
    taps = np.outer(TAPS, TAPS) / sum(TAPS) ** 2
    for path in [block, *(f"{block}.{layer}" for layer in convolutions(resolution))]:
        kernel = _tensor(states, f"{path}.resample_filter")
        if kernel is None or kernel.shape != (4, 4) or not np.allclose(kernel.tensor(), taps, atol=1e-6):
            raise ValueError(f"{path}.resample_filter is another than [1, 3, 3, 1], the only one allowed")


def _require(state: dict[str, Any], path: str, attribute: str, wanted: object, allowed: str) -> None:
    found = state.get(attribute)
    if type(found) is not type(wanted) or found != wanted:
        raise ValueError(f"{path}.{attribute} is {shown(found)}; allowed: {allowed}")


def _require_close(state: dict[str, Any], path: str, attribute: str, wanted: float) -> None:
    found = state.get(attribute)
    if not _is_number(found) or not math.isclose(found, wanted, rel_tol=1e-4):
        raise ValueError(f"{path}.{attribute} is {shown(found)}; allowed: StyleGAN2's own gain, {wanted:.6g}")


def _positive(states: States, path: str, attribute: str) -> float:
    found = states[path].get(attribute)
    if not _is_number(found) or not 0 < found < MAX_GAIN:
        raise ValueError(f"{path}.{attribute} is {shown(found)}; allowed: a positive number")
    return float(found)


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) is float or (type(value) is int and value.bit_length() < 64)


def _inputs(states: States, path: str) -> int:
    weight = _tensor(states, f"{path}.weight")
    if weight is None or len(weight.shape) < 2 or not weight.shape[1]:
        raise ValueError(f"tensor '{path}.weight' is missing or has no inputs")
    return weight.shape[1]


def _channels(states: States, resolution: int) -> int:
    layer = f"synthesis.b{resolution}.conv1"
    bias = _tensor(states, f"{layer}.bias")
    if bias is None or len(bias.shape) != 1:
        raise ValueError(f"tensor '{layer}.bias' is missing or no vector")
    return bias.shape[0]
