"""Images as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from service.codecs.image import DEFAULT_QUALITY, ImageFormat, encode_image

EXEMPLARS = Path(__file__).parents[4] / "client" / "examples" / "exemplars"
PIXELS = np.random.RandomState(0).randint(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("image_format", ImageFormat)
def test_same_pixels_same_bytes(image_format: ImageFormat) -> None:
    quality = 80 if image_format.lossy else None
    assert encode_image(PIXELS, image_format, quality) == encode_image(PIXELS.copy(), image_format, quality)


@pytest.mark.parametrize("image_format", [ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP])
def test_files_hold_the_image(image_format: ImageFormat) -> None:
    with Image.open(io.BytesIO(encode_image(PIXELS, image_format, None))) as image:
        assert (image.format, image.size, image.mode) == (image_format.upper(), (32, 24), "RGB")
        if not image_format.lossy:
            np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (256, 256)])
@pytest.mark.parametrize("kind", ["noise", "flat", "ramp"])
def test_png_of_any_size_and_content(size: tuple[int, int], kind: str) -> None:
    height, width = size
    pixels = {
        "noise": np.random.RandomState(1).randint(0, 256, (height, width, 3), dtype=np.uint8),
        "flat": np.full((height, width, 3), 200, np.uint8),
        "ramp": np.arange(height * width * 3).reshape(height, width, 3).astype(np.uint8),
    }[kind]
    # Of what an engine gives, too: a part of a batch, read-only, or turned.
    for each in (pixels, np.stack([pixels, pixels])[1], np.asfortranarray(pixels)):
        each.flags.writeable = False
        with Image.open(io.BytesIO(encode_image(each, ImageFormat.PNG, None))) as image:
            image.load()
            assert image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("file", sorted(EXEMPLARS.glob("*.png")), ids=lambda file: file.stem)
def test_png_of_a_face_is_about_as_small_as_that_of_a_library(file: Path) -> None:
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    theirs = io.BytesIO()
    Image.fromarray(pixels).save(theirs, "PNG", compress_level=3)
    assert len(encode_image(pixels, ImageFormat.PNG, None)) < 1.15 * len(theirs.getvalue())


def test_raw_is_the_pixels() -> None:
    assert encode_image(PIXELS, ImageFormat.RAW, None) == PIXELS.tobytes()


def test_jpeg_keeps_the_resolution_of_colours() -> None:
    with JpegImageFile(io.BytesIO(encode_image(PIXELS, ImageFormat.JPEG, None))) as image:
        assert get_sampling(image) == 0  # 4:4:4


@pytest.mark.parametrize("image_format", [ImageFormat.JPEG, ImageFormat.WEBP])
def test_default_quality(image_format: ImageFormat) -> None:
    default = encode_image(PIXELS, image_format, None)
    assert default == encode_image(PIXELS, image_format, DEFAULT_QUALITY)
    assert default != encode_image(PIXELS, image_format, DEFAULT_QUALITY - 20)
