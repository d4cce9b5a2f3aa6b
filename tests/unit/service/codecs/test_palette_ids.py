"""Label maps whose palette some program has renumbered."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.codecs.png import decode_png, ids_by_colour
from service.core.errors import InvalidArgument

COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2, (0, 0, 255): 3}
MODEL = np.array(list(COLOURS), np.uint8)
NOT_DRAWN = 255


def read(ids: list[int], palette: NDArray[np.uint8], kept: tuple[int, ...] = ()) -> list[int]:
    array = np.array([ids], np.uint8)
    found: list[int] = ids_by_colour(array, palette, COLOURS, field="f", kept=kept)[0].tolist()
    return found


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_a_renumbered_file_is_read_as_it_was_before(order: list[int], meant: list[int]) -> None:
    stored = [order.index(each) for each in meant]
    assert read(stored, MODEL[order]) == meant


def test_a_file_of_pillow_s_optimiser_is_read_as_it_was_before() -> None:
    """Quantising to a palette sorts it by how often a colour is used."""
    ids = np.array([[3, 3, 3, 1, 0]], np.uint8)
    image = Image.fromarray(MODEL[ids]).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    stored = decode_png(file.getvalue(), field="f")
    assert stored.palette is not None
    assert stored.ids.tolist() != ids.tolist()
    assert ids_by_colour(stored.ids, stored.palette, COLOURS, field="f").tolist() == ids.tolist()


def test_other_palettes_do_not_count() -> None:
    greys = np.repeat(np.arange(4, dtype=np.uint8)[:, np.newaxis] * 60 + 9, 3, 1)
    assert read([0, 3, 2], greys) == [0, 3, 2]
    one_other = MODEL[[1, 0, 2, 3]].copy()
    one_other[3] = (7, 7, 7)
    assert read([0, 1, 3], one_other) == [0, 1, 3]
    assert read([0, 3], MODEL[:2]) == [0, 3]
    assert read([0, 1, 2], MODEL) == [0, 1, 2]


def test_what_is_not_drawn_stays_where_it_kept_its_id() -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[:4], palette[NOT_DRAWN] = MODEL[[1, 0, 2, 3]], (9, 9, 9)
    assert read([0, 1, NOT_DRAWN], palette, (NOT_DRAWN,)) == [1, 0, NOT_DRAWN]


def test_what_is_not_drawn_and_took_the_place_of_a_class_is_refused() -> None:
    """The classes that were used have kept their ids, and nothing says so of what is not drawn."""
    palette = np.array([(255, 255, 255), *MODEL[1:]], np.uint8)
    with pytest.raises(InvalidArgument, match="one more colour"):
        read([0, 1, 2], palette, (NOT_DRAWN,))
    assert read([0, 1, 2], palette) == [0, 1, 2]  # a label map: its ids count


def test_what_is_not_drawn_and_was_renumbered_too_is_refused() -> None:
    palette = np.array([(9, 9, 9), *MODEL], np.uint8)
    with pytest.raises(InvalidArgument, match="model's colours under other ids, and one more colour"):
        read([0, 1, 2, 3], palette, (NOT_DRAWN,))
