"""Valid PNGs, changed chunk by chunk with checksums that fit: what comes behind the first checks."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.codecs.png import decode_png
from service.core.errors import InvalidArgument
from tests.fuzz.targets import png, png_repaired
from tests.support.png import GREY, INDEXED, SIGNATURE, chunk, header, one_channel_png
from tests.support.turned import ORIENTATIONS, exif_of, lying

wild = settings(deadline=None)  # the machine is small and busy

IDS = [[0, 1, 2, 3, 4], [5, 6, 7, 0, 1], [2, 2, 2, 2, 2]]
KINDS = [
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"zTXt",
    b"iCCP",
    b"eXIf",
    b"sBIT",
]

Chunk = tuple[bytes, bytes]


def chunks_of(data: bytes) -> list[Chunk]:
    found, position = [], len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file with chunks dropped, doubled, moved, emptied, filled with something else, or put in."""
    depth, colour = draw(st.sampled_from([4, 8])), draw(st.sampled_from([GREY, INDEXED]))
    chunks = chunks_of(one_channel_png(IDS, depth=depth, colour=colour, interlace=draw(st.booleans())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(chunks) - 1))
        kind, content = chunks[at]
        match draw(
            st.sampled_from(["drop", "double", "move", "empty", "bytes", "insert", "header", "split"])
        ):
            case "drop" if len(chunks) > 1:
                del chunks[at]
            case "double":
                chunks.insert(at, chunks[at])
            case "move":
                chunks.insert(draw(st.integers(0, len(chunks) - 1)), chunks.pop(at))
            case "empty":
                chunks[at] = (kind, b"")
            case "bytes":
                chunks[at] = (kind, draw(st.binary(max_size=40)))
            case "insert":
                chunks.insert(at, (draw(st.sampled_from(KINDS)), draw(st.binary(max_size=40))))
            case "header":
                fields = draw(st.tuples(*[st.integers(0, 9) | st.integers(0, 2**32 - 1)] * 2))
                rest = draw(st.tuples(*[st.integers(0, 3) | st.integers(0, 255)] * 5))
                chunks[at] = (b"IHDR", struct.pack(">II5B", *fields, *rest))
            case "split":
                chunks[at : at + 1] = [(kind, content[:3]), (kind, content[3:])]
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)


@wild
@given(mutated())
def test_changed_chunks_are_read_or_refused(data: bytes) -> None:
    png(data)


@wild
@given(mutated(), st.data())
def test_changed_bytes_with_checksums_that_fit_are_read_or_refused(data: bytes, draws: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 3))):
        changed[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    png_repaired(bytes(changed))


def test_a_palette_shorter_than_the_ids_changes_nothing() -> None:
    rows = zlib.compress(b"".join(bytes([0, *row]) for row in IDS))
    data = header(5, 3, 8, INDEXED) + chunk(b"PLTE", bytes(6)) + chunk(b"IDAT", rows) + chunk(b"IEND")
    np.testing.assert_array_equal(decode_png(data, field="png").ids, IDS)


def written(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    image.save(file, kind, **options)
    return file.getvalue()


MORE = [Image.new("RGB", (8, 8), "red")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (written("JPEG", exif=exif_of(6)), "a JPEG file"),
        (written("WEBP"), "a WebP file"),
        (written("WEBP", save_all=True, append_images=MORE), "a WebP file"),
        (written("GIF"), "a GIF file"),
        (written("PNG", save_all=True, append_images=MORE), "colour type RGB"),
        (one_channel_png(IDS, extra=chunk(b"acTL", bytes(8))), "an animated PNG"),
        (header(5, 3, 16) + chunk(b"IEND"), "16 bits per channel"),
        (header(2**31 - 1, 2**31 - 1) + chunk(b"IEND"), "2147483647 x 2147483647 pixels"),
        (header(5, 3) + chunk(b"IDAT") + chunk(b"IEND"), "0 bytes of pixel data where its size asks for 18"),
        (
            header(1, 1) + chunk(b"IDAT", zlib.compress(bytes(10**7))) + chunk(b"IEND"),
            "more bytes of pixel data",
        ),
    ],
    ids=["jpeg", "webp", "animated webp", "gif", "apng", "animated", "deep", "huge", "empty", "bomb"],
)
def test_what_is_no_label_map_is_called_by_its_name(data: bytes, told: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^label_map\.png: got .*{told}.*; allowed: "):
        decode_png(data, field="label_map.png")


@wild
@given(st.sampled_from([written("JPEG"), written("WEBP"), written("GIF")]), st.binary(max_size=50))
@example(written("JPEG"), b"")
def test_other_formats_with_a_png_signature_are_refused(data: bytes, tail: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode_png(SIGNATURE + data[8:] + tail, field="png")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("colour", [GREY, INDEXED])
def test_label_maps_are_turned_as_their_orientation_says(orientation: int, colour: int) -> None:
    stored = lying(np.array(IDS, np.uint8), orientation).tolist()
    for depth in (4, 8):
        block = chunk(b"eXIf", exif_of(orientation).tobytes().removeprefix(b"Exif\0\0"))
        data = one_channel_png(stored, depth=depth, colour=colour, extra=block)
        np.testing.assert_array_equal(decode_png(data, field="png").ids, IDS)


@wild
@given(st.binary(max_size=60))
@example(b"MM\0*\0\0\0\x08\xff\xff")
def test_a_label_map_with_any_block_is_read(block: bytes) -> None:
    data = one_channel_png(IDS, extra=chunk(b"eXIf", block))
    assert sorted(decode_png(data, field="png").ids.shape) == [3, 5]
