"""Palettes."""

import pytest
from pydantic import ValidationError

from training.config.palette import ClassEntry, Palette


def entry(number: int, name: str) -> ClassEntry:
    return ClassEntry(id=number, name=name, title=name, color="#102030")


def test_palette_gives_names_and_colours_in_the_order_of_ids() -> None:
    palette = Palette(classes=(entry(0, "sky"), entry(1, "sea")))
    assert palette.names == ("sky", "sea")
    assert palette.colors().tolist() == [[16, 32, 48], [16, 32, 48]]


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        ((entry(0, "sky"), entry(2, "sea")), "without a gap"),
        ((entry(1, "sky"), entry(0, "sea")), "without a gap"),
        ((entry(0, "sky"), entry(1, "sky")), "names must differ"),
        ((entry(0, "sky"),), "at least 2"),
    ],
)
def test_palette_refuses_what_a_label_map_cannot_use(classes: tuple[ClassEntry, ...], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Palette(classes=classes)
