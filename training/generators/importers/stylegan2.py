"""A StyleGAN2 checkpoint of any format that is read, told apart by its first bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from training.generators.importers import rosinality, stylegan2_ada
from training.generators.importers.files import file_content, printable
from training.generators.importers.torch_files import is_torch
from training.generators.stylegan2.architecture import Architecture, checked_state

PICKLE = b"\x80"
READ = f"{stylegan2_ada.FORMAT} (.pkl) and {rosinality.FORMAT} (.pt)"


@dataclass(frozen=True, slots=True)
class Imported:
    """A generator as it was read.

    Attributes:
        architecture: its sizes.
        state: its tensors, named as in `architecture.tensor_shapes`.
        source: the file's name, format and SHA-256.
        remarks: what is to be known of it.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    source: dict[str, str]
    remarks: tuple[str, ...] = ()


def import_stylegan2(path: Path) -> Imported:
    """Read a checkpoint; nothing in it is run.

    Raises:
        ValueError: if it is too large, damaged, wants to run something, or holds another kind of generator;
            one line with the file's name and what is allowed.
    """
    try:
        content = file_content(path)
        remarks: tuple[str, ...] = ()
        if is_torch(content):
            kind = rosinality.FORMAT
            architecture, state, remarks = rosinality.read_rosinality(content)
        elif content.startswith(PICKLE):
            kind, (architecture, state) = stylegan2_ada.FORMAT, stylegan2_ada.read_ada(content)
        else:
            raise ValueError(f"is no checkpoint of a format that is read: {READ}")
        checked = checked_state(state, architecture)
    except ValidationError as error:
        found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(printable(f"{path}: {'; '.join(found)}")) from None
    except ValueError as error:
        raise ValueError(printable(f"{path}: {error}")) from None
    sha256 = hashlib.sha256(content).hexdigest()
    source = {"file": printable(path.name), "format": kind, "sha256": sha256}
    return Imported(architecture, checked, source, remarks)
