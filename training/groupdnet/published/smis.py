"""Reads the checkpoints of the paper's own code (SMIS): `<epoch>_net_G.pth` and `<epoch>_net_E.pth`.

They are bare state dicts, read with `weights_only`, so that no code in them can run. Shapes tell everything
that is needed: classes, groups, widths. Spectral norms are folded: W = W_orig / (u^T W_orig v).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from torch import Tensor, nn

from training.generators.importers.torch_files import read_torch
from training.generators.importers.torch_values import PickledTensor, taken
from training.groupdnet.network_config import BlockSection, EncoderSection, NetworkSection
from training.groupdnet.networks.decoder import Decoder
from training.groupdnet.networks.encoder import Encoder

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
BLOCKS = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")
"""In the order they run. ADE20K's `up_4` is in the files but never runs."""
UNUSED = "up_4."
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
        ValueError: if a file holds more than tensors, or not those of this model.
    """
    decoder_state = _folded(_read(generator), generator)
    encoder_state = None if encoder is None else _folded(_read(encoder), encoder)
    try:
        config = _config(decoder_state, encoder_state, aspect)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{generator}: no checkpoint of GroupDNet ({reason})") from None
    decoder = _filled(Decoder(config), _decoder_keys(decoder_state), generator)
    if encoder is None or encoder_state is None:
        return Published(config, decoder, None)
    return Published(config, decoder, _filled(Encoder(config), _encoder_keys(encoder_state), encoder))


def _read(path: Path) -> State:
    content = path.read_bytes()
    try:
        state = read_torch(content)
        if type(state) is not dict or not all(isinstance(value, PickledTensor) for value in state.values()):
            raise ValueError("not a state dict of tensors")
        return taken({key: value for key, value in state.items() if not key.startswith(UNUSED)}, len(content))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _folded(state: State, path: Path) -> State:
    """Put W_orig / (u^T W_orig v) in the place of every spectral-normed weight's three tensors."""
    result: State = {}
    for key, value in state.items():
        if key.endswith("_orig"):
            name = key.removesuffix("_orig")
            try:
                left, right = state[f"{name}_u"], state[f"{name}_v"]
            except KeyError as error:
                raise ValueError(f"{path}: {error} is missing beside {key}") from None
            result[name] = value / (left @ value.flatten(1) @ right)
        elif key.removesuffix("_u").removesuffix("_v") + "_orig" not in state:
            result[key] = value
    return result


def _config(decoder: State, encoder: State | None, aspect: int | None) -> NetworkSection:
    start, code = decoder["fc.weight"].shape[:2]
    # The first block has a group for each class.
    classes = decoder["fc.weight"].shape[0] // decoder["head_0.conv_0.weight"].shape[1]
    seen = [decoder[f"{block}.norm_0.mlp_shared.0.weight"].shape[1] for block in BLOCKS]
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
    inputs = len(state[f"{name}.norm_0.param_free_norm.running_mean"])
    shared = state[f"{name}.norm_0.mlp_shared.0.weight"]
    return BlockSection(
        width=state[f"{name}.conv_1.weight"].shape[0],
        groups=inputs // state[f"{name}.conv_0.weight"].shape[1],
        hidden=shared.shape[0],
        hidden_groups=map_channels // shared.shape[1],
        norm_groups=shared.shape[0] // state[f"{name}.norm_0.mlp_gamma.weight"].shape[1],
    )


def _encoder(state: State | None, classes: int) -> EncoderSection:
    """The encoder's section; without a state, the smallest there can be, as a place holder."""
    layers = sum(1 for key in state or {} if re.fullmatch(r"layer\d+\.0\.weight", key))
    weights = [] if state is None else [state[f"layer{i + 1}.0.weight"] for i in range(layers)]
    return EncoderSection(
        side=4 * 2 ** (layers or 1),
        planes=3,
        widths=tuple(weight.shape[0] // classes for weight in weights) or (1,),
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


def _filled(network: Network, state: State, path: Path) -> Network:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path}: does not fit the model its shapes say ({reason})") from None
    return network.eval().requires_grad_(False)
