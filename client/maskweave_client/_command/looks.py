"""Looks of classes, as options say them: `--style hair=seed:3`, `--style all=face.png,map.png`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from maskweave_client import Client, MaskweaveError, Model, Seed, Style, StyleCode
from maskweave_client._command.drawings import ids_of_image

LOOK = "CLASS=LOOK"
LOOK_HELP = (
    "CLASS is a class's name or id, or `all`; LOOK is `seed:NUMBER`, `IMAGE,LABEL_MAP` (as it looks there), "
    "or a file that StyleCode.to_bytes gave. May be given several times, the last one counts."
)

_ALL = "all"


@dataclass
class Looks:
    """The looks that options give, to be fitted to label maps.

    Attributes:
        styles: For each style of the model its classes.
        rest: Looks of styles by their number, for label maps that have them.
        named: Looks of classes that were named, by class id.
    """

    styles: tuple[tuple[int, ...], ...]
    rest: dict[int, Style] = field(default_factory=dict)
    named: dict[int, Style] = field(default_factory=dict)

    def fitted(self, classes: set[int]) -> dict[int, Style]:
        """The looks for a label map of these classes, by class id."""
        found = dict(self.named)
        taken = {self._style_of(class_id) for class_id in found}
        for style, look in self.rest.items():
            shared = classes.intersection(self.styles[style])
            if shared and style not in taken:
                found[min(shared)] = look
        return found

    def give(self, class_id: int | None, looks: dict[int, Style] | Style) -> None:
        """Give one class a look, or all of them; what was given before is forgotten where it is the same."""
        if class_id is not None:
            if isinstance(looks, dict):
                raise ValueError("one look for one class")
            style = self._style_of(class_id)
            self.named = {each: look for each, look in self.named.items() if self._style_of(each) != style}
            self.named[class_id] = looks
            return
        if not isinstance(looks, dict):
            self.rest = dict.fromkeys(range(len(self.styles)), looks)
            self.named = {}
            return
        for code_of, look in looks.items():
            style = self._style_of(code_of)
            self.rest[style] = look
            self.named = {each: kept for each, kept in self.named.items() if self._style_of(each) != style}

    def _style_of(self, class_id: int) -> int:
        return next(number for number, classes in enumerate(self.styles) if class_id in classes)


def read_looks(option: str, given: Sequence[str], client: Client, model: Model) -> Looks:
    """The looks that an option gives; `option` is for messages.

    Raises:
        click.BadParameter: One is not what it must be.
        MaskweaveError: The service cannot read the looks of an image.
    """
    if given and model.styles is None:
        raise click.BadParameter(
            f"{model.name} has no styles; allowed: models with styles", param_hint=option
        )
    looks = Looks(model.styles.styles if model.styles else ())
    for text in given:
        name, equals, look = text.partition("=")
        if not equals or not look:
            raise click.BadParameter(f"got {text!r}; allowed: {LOOK}. {LOOK_HELP}", param_hint=option)
        class_id = None if name == _ALL else _class_id(option, name, model)
        try:
            looks.give(class_id, _look(look, class_id, client, model))
        except MaskweaveError:
            raise
        except (OSError, TypeError, ValueError) as error:
            raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from error
    return looks


def _class_id(option: str, name: str, model: Model) -> int:
    for entry in model.palette:
        if name in (entry.name, str(entry.id)):
            return entry.id
    allowed = ", ".join(entry.name for entry in model.palette)
    raise click.BadParameter(f"got the class {name!r}; allowed: {_ALL}, {allowed}", param_hint=option)


def _look(text: str, class_id: int | None, client: Client, model: Model) -> dict[int, Style] | Style:
    if text.startswith("seed:"):
        number = text.removeprefix("seed:")
        if not number.isdecimal() or int(number) >= 2**32:
            raise ValueError(f"got the seed {number!r}; allowed: an integer from 0 to 4294967295")
        return Seed(int(number))
    image, comma, mask = text.rpartition(",")
    if not comma:
        return StyleCode.from_bytes(Path(text).read_bytes())
    ids = ids_of_image(Path(mask), model)
    codes = client.encode_styles(model.name, image, ids, model_version=model.version)
    if class_id is None:
        return dict(codes)
    for code in codes.values():
        if class_id in (code.class_id, *code.covered_class_ids):
            return code
    raise ValueError(f"{mask} does not have that class")
