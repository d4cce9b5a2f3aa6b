"""A pack of a published model: its weights by our names, and a configuration that says what they are.

Published models draw their codes from N(0, 1), and have no expectation; both stay as they are.
"""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from training.config.packs import read_method_config
from training.config.sections import PACK_NAME
from training.config.weights import save_weights, weights_path
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.config import METHOD, StylesConfig
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.published.smis import Published
from training.groupdnet.stage import NETWORK, PRIOR

CONFIG = "config.toml"


def write_pack(published: Published, folder: Path, source: dict[str, str]) -> tuple[Path, bool]:
    """Write `groupdnet` and `prior`, and `config.toml` unless there is one.

    Args:
        published: with its encoder.
        folder: the pack's; its name is the pack's.
        source: names and SHA-256 of the files, kept with the weights.

    Returns:
        The file of the weights, and whether a configuration was written.

    Raises:
        ValueError: if there is no encoder, the folder's name is none of a pack, or the configuration that is
            there is of another network; then nothing is written.
        OSError: if the folder cannot be written.
    """
    if published.encoder is None:
        raise ValueError("no encoder: a pack reads the styles of images, too; needed is <epoch>_net_E.pth")
    network, config, name = GroupDNet(published.config), folder / CONFIG, folder.absolute().name
    if config.exists():
        _check_fits(config, network)
    elif not re.fullmatch(PACK_NAME, name):
        raise ValueError(
            f"--output: its last part, {name!r}, is the pack's name; allowed are lower-case letters, digits "
            "and _, a letter first"
        )
    network.decoder.load_state_dict(published.decoder.state_dict())
    network.encoder.load_state_dict(published.encoder.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    weights = weights_path(folder, NETWORK)
    # In single precision, as they came: what is not trained here is not rounded here.
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    save_file(state, weights, source)
    section = published.config
    save_weights(StylePrior(section.styles, section.style_size), folder, PRIOR)
    if config.exists():
        return weights, False
    config.write_text(config_text(section, name))
    return weights, True


def _check_fits(path: Path, network: GroupDNet) -> None:
    config = read_method_config(path, StylesConfig)
    with torch.device("meta"):
        wanted = GroupDNet(config.network).state_dict()
    found = {key: tensor.shape for key, tensor in network.state_dict().items()}
    if found != {key: tensor.shape for key, tensor in wanted.items()}:
        raise ValueError(
            f"{path}: its [network] is another than the checkpoint's; with this file out of the way, one "
            "that fits is written"
        )


def config_text(section: NetworkSection, name: str) -> str:
    """The configuration of an imported pack, as TOML; classes have numbers for names."""
    lines = [
        "# An imported pack: name and colour its classes. It can be exported and served; with [data] and",
        "# [training] it can be evaluated and trained further.",
        "[pack]",
        f'name = "{name}"',
        'version = "1.0.0"',
        f'method = "{METHOD}"',
        f'title = "{name}"',
        'description = "Imported from a published checkpoint of SMIS."',
    ]
    for class_id in range(section.classes):
        red, green, blue = (
            round(255 * part)
            for part in colorsys.hsv_to_rgb(
                0.618 * class_id % 1, 0.5 + 0.1 * (class_id % 5), 0.95 - 0.15 * (class_id % 4)
            )
        )
        lines += [
            "",
            "[[palette.classes]]",
            f"id = {class_id}",
            f'name = "class_{class_id}"',
            f'title = "class {class_id}"',
            f'color = "#{red:02x}{green:02x}{blue:02x}"',
        ]
    encoder = section.encoder
    fields = section.model_dump(exclude={"encoder", "blocks"})
    lines += ["", "[network]", *(f"{key} = {_toml(value)}" for key, value in fields.items()), "blocks = ["]
    lines += [f"    {_toml(block.model_dump())}," for block in section.blocks]
    lines += ["]", "", "[network.encoder]"]
    lines += [f"{key} = {_toml(value)}" for key, value in encoder.model_dump().items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
