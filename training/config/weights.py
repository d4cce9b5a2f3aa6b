"""A pack's weights on disk: one safetensors file a network, beside the pack's configuration and card.

Weights are stored in half precision and used in single precision: what is evaluated and exported is what was
read back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def weights_path(folder: Path, name: str) -> Path:
    """Where a network's weights are kept in a pack's folder."""
    return folder / f"{name}.safetensors"


def save_weights(network: nn.Module, folder: Path, name: str) -> Path:
    """Write a network's weights and buffers; returns the file.

    Raises:
        ValueError: if a number is beyond half precision, or none.
    """
    path = weights_path(folder, name)
    tensors = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for key, tensor in network.state_dict().items()
    }
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{name}: {key} holds a number that half precision cannot; {path} stays as it was"
            )
    save_file(tensors, path)
    return path


def load_weights(network: Network, folder: Path, name: str) -> Network:
    """Read weights into a network built from the same configuration; returns it, ready for inference.

    Raises:
        FileNotFoundError: if the network has not been trained, with the command's name.
        ValueError: if the file is damaged or does not fit the network.
    """
    path = weights_path(folder, name)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: train it with `maskweave train` (see docs/training.md)")
    try:
        stored = load_file(path)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in stored.items()})
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path} does not fit the pack's configuration: {reason}") from None
    return network.eval().requires_grad_(False)


def averaged_weights(network: Network, checkpoint: Path, part: str = "average") -> Network:
    """Read the moving average that a run's checkpoint holds as `part` into a network.

    Raises:
        FileNotFoundError: if there is no such run.
    """
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint} is missing: this stage has not been trained")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state"][part]
    prefix = "module."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return network.eval()
