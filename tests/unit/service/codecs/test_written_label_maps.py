"""Label maps as the service sends them are read back as they were, by the service and by others."""

from __future__ import annotations

import io
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from service.codecs.label_map import decode_run_length, run_lengths, write_palette_png
from service.codecs.png import decode_png

COLOURS = {class_id: (class_id, 255 - class_id, 7 * class_id % 256) for class_id in range(256)}

shapes = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
maps = arrays.arrays(np.uint8, shapes, elements=st.integers(0, 255))


@given(maps, st.integers(1, 256))
def test_png(ids: NDArray[np.uint8], count: int) -> None:
    ids = (ids % count).astype(np.uint8)
    colours = {class_id: COLOURS[class_id] for class_id in range(count)}
    data = write_palette_png(ids, colours)
    assert data == write_palette_png(ids, colours)
    np.testing.assert_array_equal(decode_png(data, field="label_map.png").ids, ids)
    with Image.open(io.BytesIO(data)) as image:
        shown = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(shown, np.array([COLOURS[each] for each in range(256)], np.uint8)[ids])


@given(maps)
def test_runs(ids: NDArray[np.uint8]) -> None:
    class_ids, lengths = run_lengths(ids)
    height, width = ids.shape
    back = decode_run_length(class_ids, lengths, width, height, field="label_map.run_length")
    np.testing.assert_array_equal(back, ids)
    assert all(one != other for one, other in itertools.pairwise(class_ids))
