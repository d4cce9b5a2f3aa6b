"""Reads the checkpoints of the paper's own code (SMIS): `<epoch>_net_G.pth` and `<epoch>_net_E.pth`.

They are bare state dicts, read as data, so that nothing in them can run. Shapes tell everything that is
needed: classes, groups, widths. Spectral norms are folded: W = W_orig / (u^T W_orig v).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from training.config.palette import IGNORED
from training.generators.importers.files import file_content, printable
from training.generators.importers.pickled import shown
from training.generators.importers.torch_files import read_torch
from training.generators.importers.torch_values import PickledTensor, taken
from training.groupdnet.network_config import BlockSection, EncoderSection, NetworkSection
from training.groupdnet.networks.decoder import Decoder
from training.groupdnet.networks.encoder import Encoder

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
Network = TypeVar("Network", bound=nn.Module)
BLOCKS = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")
"""In the order they run. ADE20K's `up_4` is in the files but never runs."""
UNUSED = "up_4."
WRAPPER = "module."
"""What PyTorch's data parallelism puts before every name."""
COUNTER = "num_batches_tracked"
"""Of a batch norm: the only tensor of whole numbers."""
HALVINGS = 6
"""Most layers of an encoder: it sees crops of 256 rows, and leaves 4."""
MAX_TENSORS = 2000
"""A published generator has some two hundred."""
NORM_PARTS = {
    "param_free_norm": "norm",
    "mlp_shared.0": "shared",
    "mlp_gamma": "scale",
    "mlp_beta": "shift",
}


@dataclass(frozen=True, slots=True)
class Published:
    """An imported model, ready for inference.

    Attributes:
        config: what the shapes say; spectral norms are folded, so it has none.
        decoder: takes codes `[B, classes, 8, h, w]`.
        encoder: None if there was no file for it: the paper's own test code never loads one.
    """

    config: NetworkSection
    decoder: Decoder
    encoder: Encoder | None


def load_smis(generator: Path, encoder: Path | None = None, aspect: int | None = None) -> Published:
    """Read a published model.

    Args:
        generator: the file `<epoch>_net_G.pth`.
        encoder: the file `<epoch>_net_E.pth`, if there is one.
        aspect: columns for each row of its images, which no file tells; None: 2 for Cityscapes, whose maps
            have edges, and 1 for others.

    Raises:
        ValueError: if a file holds more than tensors, or not those of this model; one line with its name.
        OSError: if it cannot be read.
    """
    decoder_state = _read(generator)
    encoder_state = None if encoder is None else _read(encoder)
    try:
        config = _config(decoder_state, encoder_state, aspect)
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(printable(f"{generator}: no checkpoint of GroupDNet ({reason})")) from None
    decoder = _filled(lambda: Decoder(config), _decoder_keys(decoder_state), generator)
    if encoder is None or encoder_state is None:
        return Published(config, decoder, None)
    filled = _filled(lambda: Encoder(config), _encoder_keys(encoder_state), encoder)
    return Published(config, decoder, filled)


def _read(path: Path) -> State:
    """A file's tensors in single precision, spectral norms folded."""
    try:
        content = file_content(path)
        state = _folded(_tensors(read_torch(content), len(content)))
        for name, tensor in state.items():
            if not tensor.isfinite().all():
                raise ValueError(f"tensor {name!r} holds a number that is not finite")
    except ValueError as error:
        raise ValueError(printable(f"{path}: {error}")) from None
    return state


def _tensors(stored: object, size: int) -> State:
    if type(stored) is not dict or not stored:
        raise ValueError("not a state dict of tensors")
    if len(stored) > MAX_TENSORS:
        raise ValueError(f"has {len(stored)} tensors; allowed are {MAX_TENSORS}")
    for name, value in stored.items():
        if type(name) is not str or type(value) is not PickledTensor:
            raise ValueError(f"not a state dict of tensors: {shown(name)} is {shown(value)}")
        if not math.prod(value.shape):
            raise ValueError(f"tensor {shown(name)} has shape {value.shape}, and no number")
    wrapped = all(name.startswith(WRAPPER) for name in stored)
    named = {name.removeprefix(WRAPPER) if wrapped else name: value for name, value in stored.items()}
    tensors = taken({name: value for name, value in named.items() if not name.startswith(UNUSED)}, size)
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() or name.endswith(COUNTER)):
            raise ValueError(f"tensor {name!r} is of {tensor.dtype}, allowed is floating point")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _folded(state: State) -> State:
    """Put W_orig / (u^T W_orig v) in the place of every spectral-normed weight's three tensors."""
    result: State = {}
    for key, value in state.items():
        if key.endswith("_orig"):
            name = key.removesuffix("_orig")
            try:
                left, right = state[f"{name}_u"], state[f"{name}_v"]
            except KeyError as error:
                raise ValueError(f"{error} is missing beside {key!r}") from None
            shapes = [tuple(vector.shape) for vector in (left, right)]
            if value.dim() < 2 or shapes != [(len(value),), (math.prod(value.shape[1:]),)]:
                raise ValueError(
                    f"{key!r} has shape {tuple(value.shape)}, and its vectors of the spectral norm have "
                    f"{shapes[0]} and {shapes[1]}"
                )
            result[name] = value / (left @ value.flatten(1) @ right)
        elif key.removesuffix("_u").removesuffix("_v") + "_orig" not in state:
            result[key] = value
    return result


def _config(decoder: State, encoder: State | None, aspect: int | None) -> NetworkSection:
    start, code, *_ = _shape(decoder, "fc.weight")
    # The first block has a group for each class.
    classes = start // _shape(decoder, "head_0.conv_0.weight")[1]
    if not 2 <= classes <= IGNORED:
        raise ValueError(f"{classes} classes; allowed are 2 to {IGNORED}")
    seen = [_shape(decoder, f"{block}.norm_0.mlp_shared.0.weight")[1] for block in BLOCKS]
    # Cityscapes: of each class a pair, the class and the instances' edges; 35 classes do not divide by 2.
    planes: Literal[1, 2] = 1 if all(classes % channels == 0 for channels in seen) else 2
    ids = tuple(range(classes))
    return NetworkSection(
        classes=classes,
        map_planes=planes,
        aspect=planes if aspect is None else aspect,
        style_classes=ids,
        class_order=ids,
        code=code,
        code_side=4,
        start=start,
        blocks=tuple(_block(decoder, name, classes * planes) for name in BLOCKS),
        map_resize="nearest",
        spectral=False,
        expectation="none",
        encoder=_encoder(encoder, classes),
    )


def _block(state: State, name: str, map_channels: int) -> BlockSection:
    (inputs,) = _shape(state, f"{name}.norm_0.param_free_norm.running_mean", 1)
    hidden, planes, *_ = _shape(state, f"{name}.norm_0.mlp_shared.0.weight")
    return BlockSection(
        width=_shape(state, f"{name}.conv_1.weight")[0],
        groups=inputs // _shape(state, f"{name}.conv_0.weight")[1],
        hidden=hidden,
        hidden_groups=map_channels // planes,
        norm_groups=hidden // _shape(state, f"{name}.norm_0.mlp_gamma.weight")[1],
    )


def _shape(state: State, name: str, rank: int = 4) -> tuple[int, ...]:
    """Of a tensor, which must be there and have so many dimensions; none of them is 0."""
    if name not in state or state[name].dim() != rank:
        raise ValueError(f"tensor {name!r} is missing, or has not {rank} dimensions")
    return tuple(state[name].shape)


def _encoder(state: State | None, classes: int) -> EncoderSection:
    """The encoder's section; without a state, the smallest there can be, as a place holder."""
    layers = sum(1 for key in state or {} if re.fullmatch(r"layer\d+\.0\.weight", key))
    if layers > HALVINGS:
        raise ValueError(f"an encoder of {layers} layers; allowed are {HALVINGS}")
    outputs = [_shape(state or {}, f"layer{i + 1}.0.weight")[0] for i in range(layers)]
    return EncoderSection(
        side=4 * 2 ** (layers or 1),
        planes=3,
        widths=tuple(each // classes for each in outputs) or (1,),
        norm="instance",
        spectral=False,
        resize="nearest",
    )


def _decoder_keys(state: State) -> State:
    result: State = {}
    for key, value in state.items():
        block, _, rest = key.partition(".")
        if block in BLOCKS:
            layer, _, inner = rest.partition(".")
            for theirs, ours in NORM_PARTS.items() if layer.startswith("norm") else ():
                if inner.startswith(f"{theirs}."):
                    inner = f"{ours}.{inner.removeprefix(f'{theirs}.')}"
                    break
            result[f"blocks.{BLOCKS.index(block)}.{layer}.{inner}"] = value
        else:
            result[f"{({'fc': 'begin', 'conv_img': 'finish'}).get(block, block)}.{rest}"] = value
    return result


def _encoder_keys(state: State) -> State:
    result: State = {}
    for key, value in state.items():
        layer = re.fullmatch(r"layer(\d+)\.0\.(.+)", key)
        if layer:
            # Ours is one sequence: convolution and norm, then activation, convolution and norm.
            result[f"body.{3 * (int(layer[1]) - 1)}.{layer[2]}"] = value
        else:
            result[key.replace("fc_mu.", "mean.").replace("fc_var.", "log_variance.")] = value
    return result


def _filled(make: Callable[[], Network], state: State, path: Path) -> Network:
    """A network of these very tensors: what a few shapes say of it takes no memory before all of them fit."""
    with torch.device("meta"):
        network = make()
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    if wanted != found:
        reason = _difference(wanted, found)
        raise ValueError(printable(f"{path}: does not fit the model its shapes say ({reason})"))
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _difference(wanted: Shapes, found: Shapes) -> str:
    """The first, of two that are not the same."""
    for key, shape in wanted.items():
        if key not in found:
            return f"{key!r} is missing"
        if found[key] != shape:
            return f"{key!r} has shape {found[key]}, expected {shape}"
    return f"{next(key for key in found if key not in wanted)!r} is none of its tensors"
