"""The classes of a pack: ids, names and colours, defined once and carried from here to every other part.

A pack's configuration holds its palette; export writes it into the model repository, the gateway reads it
from there and tells it to callers. Nothing else names classes or colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

IGNORED = 255
"""In label maps: a pixel of no class. Ids end at 254."""


class ClassEntry(BaseModel):
    """One class of a palette."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=0, le=254)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(min_length=1)
    color: str = Field(pattern=r"^#[0-9a-f]{6}$")


class Palette(BaseModel):
    """All classes of a pack, in the order of their ids, which count from 0 without a gap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[ClassEntry, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _ids_count_up(self) -> Palette:
        ids = [entry.id for entry in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(f"class ids must count 0, 1, 2, ... without a gap, found {ids}")
        names = [entry.name for entry in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"class names must differ, found {names}")
        return self

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(entry.name for entry in self.classes)

    def colors(self) -> NDArray[np.uint8]:
        """Colours as uint8 `[classes, 3]`, RGB."""
        return np.array([tuple(bytes.fromhex(entry.color[1:])) for entry in self.classes], np.uint8)
