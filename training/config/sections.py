"""Sections of a pack's configuration: what each may hold, and what within it must fit together."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_NUMBER = 1 << 24
"""More than any count or size here; what is checked by counting up to it ends."""
Positive = Annotated[int, Field(gt=0, le=MAX_NUMBER)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Widths = Annotated[tuple[Positive, ...], Field(min_length=1)]
"""Channels of a U-Net's levels."""
PACK_NAME = r"^[a-z][a-z0-9_]*$"


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys, and numbers that are not finite, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PackSection(Section):
    """What the pack is, as callers see it."""

    name: str = Field(pattern=PACK_NAME)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    method: str
    title: str
    description: str
    generator: str


class ClassifierSection(Section):
    """Training of a network that gives every cell a class."""

    steps: Positive
    batch: Positive
    learning_rate: Rate


def validation_reasons(error: ValidationError) -> str:
    """What pydantic found wrong, as one line: fields and reasons."""
    return "; ".join(f"{_field(one['loc'])}: {one['msg']}" for one in error.errors())


def _field(place: tuple[int | str, ...]) -> str:
    """The name that the file has for it: a tag of a union, such as "<folders>", is none of its keys."""
    return ".".join(str(part) for part in place if not str(part).startswith("<"))
