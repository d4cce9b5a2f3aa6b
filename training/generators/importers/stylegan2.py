"""A StyleGAN2 checkpoint of any format that is read, told apart by its first bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from training.generators.importers import rosinality, stylegan2_ada
from training.generators.stylegan2.architecture import Architecture, checked_state

MAX_BYTES = 2 << 30
"""More than any published checkpoint, with discriminator and optimisers."""
LEGACY_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""A pickle of the number that `torch.save` put first before 1.6."""
PICKLE = b"\x80"
READ = f"{stylegan2_ada.FORMAT} (.pkl) and {rosinality.FORMAT} (.pt)"


@dataclass(frozen=True, slots=True)
class Imported:
    """A generator as it was read.

    Attributes:
        architecture: its sizes.
        state: its tensors, named as in `architecture.tensor_shapes`.
        source: the file's name, format and SHA-256.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    source: dict[str, str]


def import_stylegan2(path: Path) -> Imported:
    """Read a checkpoint; nothing in it is run.

    Raises:
        ValueError: if it is too large, damaged, wants to run something, or holds another kind of generator;
            one line with the file's name and what is allowed.
    """
    try:
        content = _content(path)
        if content.startswith((rosinality.ZIP, LEGACY_TORCH)):
            kind, (architecture, state) = rosinality.FORMAT, rosinality.read_rosinality(content)
        elif content.startswith(PICKLE):
            kind, (architecture, state) = stylegan2_ada.FORMAT, stylegan2_ada.read_ada(content)
        else:
            raise ValueError(f"is no checkpoint of a format that is read: {READ}")
        checked = checked_state(state, architecture)
    except ValidationError as error:
        found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"{path}: {'; '.join(found)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    return Imported(architecture, checked, {"file": path.name, "format": kind, "sha256": sha256})


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("is no file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"has {size} bytes; allowed are {MAX_BYTES}")
    return path.read_bytes()
