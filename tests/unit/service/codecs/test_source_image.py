"""Images that callers have: what is read, and what is refused before anything large is made of it."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.codecs.png_file import COLOUR_TYPES, INDEXED, PngFile, PngHeader
from service.codecs.source_image import (
    decode_any_image,
    decode_any_pixels,
    decode_image,
    decode_on_white,
    decode_pixels,
)
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS
from tests.support.png import GREY, GREY_ALPHA, RGBA, chunk, header
from tests.support.png import RGB as COLOUR
from tests.support.turned import ORIENTATIONS, exif_of, lying, turned_file

RGB = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(3, 4, 3)
TOO_MANY_BYTES = bytes(LIMITS.max_encoded_bytes + 1)


def written(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refusal(data: bytes, width: int = 4, height: int = 3) -> str:
    with pytest.raises(InvalidArgument) as caught:
        decode_image(data, width, height, field="picture.file")
    assert caught.value.field == "picture.file"
    return str(caught.value)


def test_a_png_is_read_as_it_is() -> None:
    found = decode_image(written(Image.fromarray(RGB)), 4, 3, field="f")
    np.testing.assert_array_equal(found, RGB)


def test_greys_palettes_and_jpegs_become_rgb() -> None:
    grey = Image.new("L", (4, 3), 77)
    palette = Image.new("RGB", (4, 3), (1, 2, 3)).convert("P")
    assert decode_image(written(grey), 4, 3, field="f").tolist() == [[[77] * 3] * 4] * 3
    assert decode_image(written(palette), 4, 3, field="f").shape == (3, 4, 3)
    assert decode_image(written(grey, "JPEG"), 4, 3, field="f").tolist() == [[[77] * 3] * 4] * 3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_files_are_turned_as_their_orientation_says(orientation: int) -> None:
    png = turned_file(RGB, orientation)
    np.testing.assert_array_equal(decode_image(png, 4, 3, field="f"), RGB)
    grey = np.repeat(np.array([[20, 90, 160, 230]] * 3, np.uint8) // np.array([[1], [2], [3]]), 8, 0)
    large: np.ndarray[Any, np.dtype[np.uint8]] = np.repeat(grey, 8, 1).astype(np.uint8)
    found = decode_image(turned_file(large, orientation, "JPEG", quality=95), 32, 24, field="f")
    assert np.abs(found[..., 0].astype(int) - large).max() <= 8


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_size_counts_once_the_image_is_upright(orientation: int) -> None:
    lies = orientation >= 5
    stored = lying(RGB, orientation)
    assert stored.shape[:2] == ((4, 3) if lies else (3, 4))
    data = written(Image.fromarray(RGB), exif=exif_of(orientation))
    if lies:
        assert "3 x 4 pixels; allowed: exactly 4 x 3 pixels" in refusal(data)
        assert decode_image(data, 3, 4, field="f").shape == (4, 3, 3)
    else:
        assert decode_image(data, 4, 3, field="f").shape == (3, 4, 3)


def test_an_image_that_lies_and_does_not_say_so_is_refused() -> None:
    lying_down = written(Image.fromarray(lying(RGB, 6)))
    assert "3 x 4 pixels; allowed: exactly 4 x 3 pixels" in refusal(lying_down)


BLOCKS = [
    b"",
    b"Exif",
    b"no block at all",
    b"MM\0*\0\0\0\x08\xff\xff",  # 65535 entries and none of them
    exif_of(6).tobytes()[:-9],
    exif_of(9).tobytes(),
    exif_of(0).tobytes(),
    exif_of(6).tobytes().replace(b"\x01\x12\0\x03", b"\x01\x12\0\x02"),  # orientation as text
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # as in the gateway
@pytest.mark.parametrize("block", BLOCKS)
def test_a_damaged_block_turns_nothing_and_refuses_nothing(block: bytes) -> None:
    jpeg = written(Image.new("L", (4, 3), 77), "JPEG", exif=b"Exif\0\0" + block)
    assert decode_image(jpeg, 4, 3, field="f").tolist() == [[[77] * 3] * 4] * 3
    png = written(Image.fromarray(RGB), exif=block or b"\0")
    np.testing.assert_array_equal(decode_image(png, 4, 3, field="f"), RGB)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: exif_of(6).tobytes()[:20] + data))
def test_any_block_is_read_or_left(block: bytes) -> None:
    file = written(Image.fromarray(RGB[:, :3]), exif=block or b"\0")
    assert decode_image(file, 3, 3, field="f").shape == (3, 3, 3)


@pytest.mark.parametrize(
    ("mode", "told"),
    [("RGBA", "RGBA with 8"), ("LA", "greyscale with alpha with 8"), ("I;16", "greyscale with 16")],
)
def test_other_channels_are_refused(mode: str, told: str) -> None:
    assert f"a PNG of colour type {told} bits per channel" in refusal(written(Image.new(mode, (4, 3))))


def test_transparent_palettes_and_cmyk_are_refused() -> None:
    palette = Image.new("P", (4, 3))
    assert "with transparency" in refusal(written(palette, transparency=0))
    assert "mode CMYK" in refusal(written(Image.new("CMYK", (4, 3)), "JPEG"))


@pytest.mark.parametrize("colour", [GREY, COLOUR, GREY_ALPHA, RGBA])
def test_sixteen_bits_are_refused_by_the_header(colour: int) -> None:
    deep = header(4, 3, 16, colour) + chunk(b"IDAT") + chunk(b"IEND")
    for decode in (decode_any_image, decode_on_white):
        with pytest.raises(InvalidArgument, match="with 16 bits per channel"):
            decode(deep, field="f")


def test_images_of_any_size_keep_to_the_limits() -> None:
    found = decode_any_image(written(Image.fromarray(RGB)), field="f")
    np.testing.assert_array_equal(found, RGB)
    np.testing.assert_array_equal(decode_any_pixels(RGB.tobytes(), 4, 3, field="f"), RGB)
    for width, height in ((4097, 1), (4096, 4096)):
        large = header(width, height, 8, COLOUR) + chunk(b"IDAT", bytes(9)) + chunk(b"IEND")
        with pytest.raises(InvalidArgument, match=f"f: got {width} x {height} pixels; allowed: 1 to 4096"):
            decode_any_image(large, field="f")
        with pytest.raises(InvalidArgument, match=f"f: got {width} x {height} pixels; allowed: 1 to 4096"):
            decode_any_pixels(b"", width, height, field="f")
    with pytest.raises(InvalidArgument, match=r"f\.data: got 35 bytes; allowed: exactly 36"):
        decode_any_pixels(RGB.tobytes()[:-1], 4, 3, field="f")


def test_what_is_transparent_is_white() -> None:
    layer = np.zeros((1, 4, 4), np.uint8)
    layer[0, :, 3] = [0, 255, 51, 255]
    layer[0, 3, :3] = [255, 0, 0]
    wanted = [255, 0, 204, 76]
    assert decode_on_white(written(Image.fromarray(layer)), field="f")[0].tolist() == wanted
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert decode_on_white(written(palette, transparency=0), field="f").tolist() == [[255, 9]]
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert decode_on_white(written(grey, transparency=8), field="f").tolist() == [[7, 255]]
    assert decode_on_white(written(grey.convert("1")), field="f").shape == (1, 2)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(kind: str) -> None:
    assert "allowed: a PNG or JPEG" in refusal(written(Image.new("RGB", (4, 3)), kind))


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = header(50_000, 50_000, 8, 2) + chunk(b"IDAT", bytes(9)) + chunk(b"IEND")
    assert "50000 x 50000 pixels; allowed: exactly 4 x 3 pixels" in refusal(bomb)
    large = header(4096, 4096, 8, 2) + chunk(b"IDAT", bytes(9)) + chunk(b"IEND")
    assert "4096 x 4096 pixels; allowed: exactly 4 x 3 pixels" in refusal(large)
    assert f"{len(TOO_MANY_BYTES)} bytes; allowed: at most" in refusal(TOO_MANY_BYTES)


def test_an_image_that_is_cut_off_is_refused() -> None:
    for kind in ("PNG", "JPEG"):
        data = written(Image.effect_noise((4, 3), 90).convert("RGB"), kind)
        assert "cut off" in refusal(data[: len(data) - 20])


def test_a_png_without_pixel_data_is_refused() -> None:
    assert "0 bytes of pixel data where its size asks for 39" in refusal(
        header(4, 3, 8, COLOUR) + chunk(b"IEND")
    )


@pytest.mark.parametrize("decode", [decode_any_image, decode_on_white])
@pytest.mark.parametrize("palette", [b"", b"\x10", b"\x10\x20"])
@pytest.mark.parametrize("transparency", [b"", b"\xff", b"\xff" * 300])
def test_a_palette_png_without_a_colour_is_refused(decode: Any, palette: bytes, transparency: bytes) -> None:
    file = PngFile(
        PngHeader(2, 2, 1, INDEXED, interlaced=False),
        zlib.compress(bytes(4)),
        palette,
        transparency,
        None,
        b"",
    )
    with pytest.raises(InvalidArgument, match=r"without a palette|with transparency"):
        decode(file.minimal(), field="f")


@pytest.mark.parametrize("decode", [decode_any_image, decode_on_white])
@pytest.mark.parametrize("colour_type", sorted(COLOUR_TYPES))
@pytest.mark.parametrize("palette", [b"", b"\x10" * 2, b"\x10" * 6, b"\x10" * 999])
@pytest.mark.parametrize("transparency", [b"", b"\xff", b"\xff" * 2, b"\xff" * 6, b"\xff" * 300])
def test_chunks_that_do_not_belong_are_read_or_refused(
    decode: Any, colour_type: int, palette: bytes, transparency: bytes
) -> None:
    header = PngHeader(2, 2, 8, colour_type, interlaced=False)
    file = PngFile(header, zlib.compress(bytes(header.inflated_bytes)), palette, transparency, None, b"")
    try:
        pixels = decode(file.minimal(), field="f")
    except InvalidArgument:
        return
    assert pixels.shape[:2] == (2, 2)


def test_pixels_must_fill_the_size_exactly() -> None:
    found = decode_pixels(RGB.tobytes(), (4, 3), 4, 3, field="f")
    np.testing.assert_array_equal(found, RGB)
    with pytest.raises(InvalidArgument, match=r"f\.data: got 35 bytes; allowed: exactly 36"):
        decode_pixels(RGB.tobytes()[:-1], (4, 3), 4, 3, field="f")
    with pytest.raises(InvalidArgument, match="f: got -4 x -3 pixels; allowed: exactly 4 x 3"):
        decode_pixels(RGB.tobytes(), (-4, -3), 4, 3, field="f")


GOOD = [written(Image.fromarray(RGB)), written(Image.fromarray(RGB), "JPEG")]


@given(st.sampled_from(GOOD), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_any_damage_is_read_or_refused(data: bytes, damage: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for place, value in damage:
        changed[place % len(changed)] = value
    try:
        found = decode_image(bytes(changed), 4, 3, field="f")
    except InvalidArgument:
        return
    assert found.shape == (3, 4, 3)
    assert found.dtype == np.uint8


def progressive(scans: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG whose last scan, of a few bytes, is there so many times more."""
    data = written(Image.effect_noise(size, 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans + 1) + data[-2:]


def test_a_progressive_jpeg_is_read() -> None:
    assert decode_any_image(progressive(0), field="f").shape == (16, 16, 3)
    assert (
        decode_any_image(written(Image.new("L", (2048, 2048)), "JPEG", progressive=True), field="f").any()
        == 0
    )


@pytest.mark.parametrize("size", [(16, 16), (256, 256)])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", lambda _: loaded.append(1))
    for decode in (decode_any_image, decode_on_white):
        with pytest.raises(
            InvalidArgument, match=r"f: got a JPEG with more than \d+ scans; allowed: at most"
        ):
            decode(progressive(40_000 if size == (16, 16) else 64, size), field="f")
    assert not loaded


def test_a_large_jpeg_may_have_fewer_scans_than_a_small_one() -> None:
    large = written(Image.new("L", (2048, 2048)), "JPEG", progressive=True)
    last = large.rindex(b"\xff\xda")
    many = large[:last] + large[last:-2] * 16 + large[-2:]
    with pytest.raises(
        InvalidArgument, match="more than 16 scans; allowed: at most 16 scans for 2048 x 2048"
    ):
        decode_any_image(many, field="f")


def test_a_jpeg_of_many_segments_is_refused() -> None:
    data = GOOD[1]
    many = data[:2] + b"\xff\xfe\x00\x02" * 2100 + data[2:]
    with pytest.raises(InvalidArgument, match="a JPEG with more than 2048 segments"):
        decode_any_image(many, field="f")


def test_a_thumbnail_in_a_jpeg_is_no_scan() -> None:
    """Application data may hold any bytes, also whole JPEG files."""
    inner = GOOD[1] * 90
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    data = GOOD[1][:2] + segment + GOOD[1][2:]
    assert data.count(b"\xff\xda") > 64
    assert decode_any_image(data, field="f").shape == (3, 4, 3)


def test_metadata_of_a_jpeg_is_read_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow puts Exif segments together, in a time that is the square of their number."""
    segment = b"\xff\xe1\x00\x08Exif\0\0"
    with pytest.raises(InvalidArgument, match="a JPEG with more than 2048 segments"):
        decode_any_image(GOOD[1][:2] + segment * 200_000 + GOOD[1][2:], field="f")
    seen = []
    opened = Image.open

    def watched(file: io.BytesIO, **how: Any) -> Image.Image:
        seen.append(file.getvalue())
        return opened(file, **how)

    monkeypatch.setattr(Image, "open", watched)
    data = GOOD[1][:2] + segment * 1000 + b"\xff\xfe\x00\x04hi" * 1000 + GOOD[1][2:]
    plain = decode_any_image(GOOD[1], field="f")
    np.testing.assert_array_equal(decode_any_image(data, field="f"), plain)
    assert len(seen[-1]) <= len(GOOD[1])


def test_padding_of_a_jpeg_is_bounded() -> None:
    with pytest.raises(InvalidArgument, match="a JPEG with more than 4096 bytes of padding"):
        decode_any_image(GOOD[1][:2] + b"\xff" * 2**20 + GOOD[1][2:], field="f")
    assert decode_any_image(GOOD[1][:2] + b"\xff" * 9 + GOOD[1][2:], field="f").shape == (3, 4, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_without_its_metadata_has_the_same_pixels(mode: str) -> None:
    image = Image.effect_noise((24, 16), 90).convert(mode)
    data = written(image, "JPEG", quality=95, comment=b"hi", icc_profile=bytes(300))
    if mode == "CMYK":
        assert "mode CMYK" in refusal(data, 24, 16)
        return
    with Image.open(io.BytesIO(data)) as whole:
        wanted = np.asarray(whole.convert("RGB"))
    np.testing.assert_array_equal(decode_any_image(data, field="f"), wanted)


@pytest.mark.parametrize("decode", [decode_any_image, decode_on_white])
def test_a_png_of_many_chunks_is_refused(decode: Any) -> None:
    data = GOOD[0]
    many = data[:33] + chunk(b"tEXt", b"a\0b") * 100_000 + data[33:]
    with pytest.raises(InvalidArgument, match="a PNG with more than 4096 chunks; allowed: at most 4096"):
        decode(many, field="f")


def test_texts_and_profiles_of_a_png_are_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these inflates to a megabyte, and there may be thousands."""
    bomb = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(10**6))) + chunk(
        b"zTXt", b"c\0\0" + zlib.compress(bytes(10**6))
    )
    monkeypatch.setattr("PIL.PngImagePlugin._safe_zlib_decompress", pytest.fail)
    data = GOOD[0][:33] + bomb * 1000 + GOOD[0][33:]
    np.testing.assert_array_equal(decode_any_image(data, field="f"), RGB)


def test_an_exif_block_that_is_large_turns_nothing() -> None:
    block = exif_of(6).tobytes() + bytes(70_000)
    data = GOOD[0][:33] + chunk(b"eXIf", block.removeprefix(b"Exif\0\0")) + GOOD[0][33:]
    np.testing.assert_array_equal(decode_any_image(data, field="f"), RGB)
