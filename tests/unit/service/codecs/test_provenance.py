"""Marks of images, read by libraries that nobody here wrote."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.codecs.image import ImageFormat, encode_image
from service.codecs.provenance import DigitalSourceType, model_mark, xmp_packet
from tests.support.xmp import xmp_tags

FILES = [each for each in ImageFormat if each is not ImageFormat.RAW]
PIXELS = np.random.RandomState(0).randint(0, 256, (24, 33, 3), dtype=np.uint8)
SOURCE = DigitalSourceType.TRAINED


def saved(mode: str, image_format: str, **options: object) -> bytes:
    """A file of another encoder than the service's own."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, image_format, **options)
    return file.getvalue()


OTHER_FILES = {
    "PNG with alpha": (ImageFormat.PNG, saved("RGBA", "PNG")),
    "PNG with a palette": (ImageFormat.PNG, saved("P", "PNG")),
    "progressive JPEG": (ImageFormat.JPEG, saved("RGB", "JPEG", progressive=True, comment=b"hello")),
    "JPEG of Adobe, without JFIF": (ImageFormat.JPEG, saved("CMYK", "JPEG")),
    "WebP without loss": (ImageFormat.WEBP, saved("RGB", "WEBP", lossless=True)),
    "WebP without loss, with alpha": (ImageFormat.WEBP, saved("RGBA", "WEBP", lossless=True)),
    "WebP with alpha": (ImageFormat.WEBP, saved("RGBA", "WEBP")),
    "WebP with Exif": (ImageFormat.WEBP, saved("RGB", "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")),
}


@pytest.mark.parametrize("source", DigitalSourceType)
@pytest.mark.parametrize("image_format", FILES)
def test_exiv2_reads_how_an_image_came_about(image_format: ImageFormat, source: DigitalSourceType) -> None:
    file = model_mark(source, "faces64", "1.2.0").put_into(
        encode_image(PIXELS, image_format, None), image_format
    )
    assert xmp_tags(file) == {
        "Xmp.xmp.CreatorTool": "Maskweave",
        "Xmp.iptcExt.DigitalSourceType": f"http://cv.iptc.org/newscodes/digitalsourcetype/{source.value}",
        "Xmp.iptcExt.AISystemUsed": "faces64",
        "Xmp.iptcExt.AISystemVersionUsed": "1.2.0",
    }


@pytest.mark.parametrize("image_format", FILES)
def test_pillow_finds_the_packet(image_format: ImageFormat) -> None:
    file = model_mark(SOURCE, "faces64", "1.2.0").put_into(
        encode_image(PIXELS, image_format, None), image_format
    )
    with Image.open(io.BytesIO(file)) as image:
        assert image.info["xmp"] == xmp_packet(SOURCE, "faces64", "1.2.0")


@pytest.mark.parametrize("image_format", FILES)
def test_the_pixels_stay_as_they_are(image_format: ImageFormat) -> None:
    before = encode_image(PIXELS, image_format, None)
    after = model_mark(SOURCE, "faces64", "1.2.0").put_into(before, image_format)
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        assert (other.size, other.mode, other.format) == (one.size, one.mode, one.format)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(("image_format", "before"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_files_of_any_encoder(image_format: ImageFormat, before: bytes) -> None:
    after = model_mark(SOURCE, "faces64", "1.2.0").put_into(before, image_format)
    assert xmp_tags(after)["Xmp.iptcExt.DigitalSourceType"] == SOURCE.uri
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        assert (other.size, other.mode) == (one.size, one.mode)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (16_383, 1)], ids=str)
@pytest.mark.parametrize("lossless", [False, True])
def test_every_size_of_webp(height: int, width: int, lossless: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 200)).save(file, "WEBP", lossless=lossless)
    after = model_mark(SOURCE, "faces64", "1.2.0").put_into(file.getvalue(), ImageFormat.WEBP)
    with Image.open(io.BytesIO(after)) as image:
        image.load()
        assert image.size == (width, height)
    assert xmp_tags(after)["Xmp.iptcExt.AISystemUsed"] == "faces64"


@given(st.text(max_size=60), st.sampled_from(FILES))
def test_any_name_can_be_read_back(name: str, image_format: ImageFormat) -> None:
    before = encode_image(PIXELS, image_format, None)
    file = model_mark(SOURCE, name, "1.0.0-rc.1+b").put_into(before, image_format)
    found = xmp_tags(file)
    assert found["Xmp.iptcExt.AISystemVersionUsed"] == "1.0.0-rc.1+b"
    if name.isprintable():
        assert found["Xmp.iptcExt.AISystemUsed"] == name


def test_raw_pixels_have_no_place_for_it() -> None:
    raw = PIXELS.tobytes()
    assert model_mark(SOURCE, "faces64", "1.2.0").put_into(raw, ImageFormat.RAW) == raw


def test_the_same_model_gets_the_same_bytes() -> None:
    before = encode_image(PIXELS, ImageFormat.PNG, None)
    first = model_mark(SOURCE, "faces64", "1.2.0").put_into(before, ImageFormat.PNG)
    model_mark.cache_clear()
    assert model_mark(SOURCE, "faces64", "1.2.0").put_into(before, ImageFormat.PNG) == first


@pytest.mark.parametrize("image_format", FILES)
def test_it_costs_few_bytes(image_format: ImageFormat) -> None:
    before = encode_image(PIXELS, image_format, None)
    after = model_mark(SOURCE, "faces64", "1.2.0").put_into(before, image_format)
    assert len(after) - len(before) < 640


@pytest.mark.parametrize("image_format", FILES)
@pytest.mark.parametrize("wrong", [b"", b"\0" * 64, b"RIFF\0\0\0\0WEBPVP8?" + b"\0" * 20])
def test_what_no_encoder_writes_is_not_spliced(image_format: ImageFormat, wrong: bytes) -> None:
    with pytest.raises(ValueError, match="as encoders write it"):
        model_mark(SOURCE, "faces64", "1.2.0").put_into(wrong, image_format)


def test_a_name_that_no_segment_holds() -> None:
    with pytest.raises(ValueError, match="too long"):
        model_mark(SOURCE, "x" * 70_000, "1.2.0")
