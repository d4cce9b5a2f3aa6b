"""PNG label maps: every valid one reads exactly, every other one is refused and nothing else happens."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.codecs.png import decode_png
from service.core.errors import InvalidArgument
from tests.support.png import GREY, INDEXED, SIGNATURE, chunk, header, one_channel_png

DEPTHS = st.sampled_from([1, 2, 4, 8])


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int]:
    """Class ids that fit a bit depth, and that depth."""
    depth = draw(DEPTHS)
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    values = draw(st.binary(min_size=height * width, max_size=height * width))
    return np.frombuffer(values, np.uint8).reshape(height, width) & (2**depth - 1), depth


def decode(data: bytes) -> NDArray[np.uint8]:
    return decode_png(data, field="label_map.png").ids


@given(label_maps(), st.sampled_from([GREY, INDEXED]), st.booleans())
def test_ids_are_read_as_stored_at_every_depth(
    label_map: tuple[NDArray[np.uint8], int], colour: int, interlace: bool
) -> None:
    ids, depth = label_map
    data = one_channel_png(ids.tolist(), depth=depth, colour=colour, interlace=interlace)
    np.testing.assert_array_equal(decode(data), ids)


@given(label_maps(), st.booleans(), st.integers(0, 9))
def test_files_of_pillow_with_filters_and_optimised_palettes(
    label_map: tuple[NDArray[np.uint8], int], palette: bool, level: int
) -> None:
    ids, _ = label_map
    image = Image.fromarray(ids)
    if palette:
        image.putpalette(bytes(range(256)) * 3)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=level)
    np.testing.assert_array_equal(decode(file.getvalue()), ids)


def test_transparency_and_text_of_any_size_change_nothing() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**7)))
    data = one_channel_png([[1, 2], [3, 0]], extra=chunk(b"tRNS", b"\0\x80") + bomb)
    np.testing.assert_array_equal(decode(data), [[1, 2], [3, 0]])


def test_pixel_data_may_be_split_over_chunks() -> None:
    packed = zlib.compress(bytes([0, 1, 2, 0, 3, 4]))
    parts = b"".join(chunk(b"IDAT", packed[i : i + 3]) for i in range(0, len(packed), 3))
    np.testing.assert_array_equal(decode(header(2, 2) + parts + chunk(b"IEND")), [[1, 2], [3, 4]])


@given(st.binary(max_size=200))
@example(b"")
@example(SIGNATURE)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^label_map\.png: got "):
        decode(data)


@given(st.data())
def test_truncated_files_are_refused(data: st.DataObject) -> None:
    whole = one_channel_png([[0, 1, 2], [3, 4, 5]])
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InvalidArgument):
        decode(whole[:cut])


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    """Checksums cover all of the file but its chunk lengths, and those no longer fit."""
    whole = bytearray(one_channel_png([[0, 1, 2], [3, 4, 5]], depth=8))
    index = data.draw(st.integers(0, len(whole) - 1))
    whole[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidArgument):
        decode(bytes(whole))


@given(
    width=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    height=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    tail=st.tuples(*[st.integers(0, 255) | st.integers(0, 8)] * 5),
    pixels=st.binary(max_size=100),
    valid_stream=st.booleans(),
)
def test_valid_chunks_with_any_contents_are_read_or_refused(
    width: int, height: int, tail: tuple[int, ...], pixels: bytes, valid_stream: bool
) -> None:
    data = (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">II5B", width, height, *tail))
        + chunk(b"IDAT", zlib.compress(pixels) if valid_stream else pixels)
        + chunk(b"IEND")
    )
    try:
        ids = decode(data)
    except InvalidArgument:
        return
    assert ids.shape == (height, width)
    assert ids.dtype == np.uint8
