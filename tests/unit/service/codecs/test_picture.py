"""Pictures as files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from service.codecs.image import DEFAULT_QUALITY, ImageFormat, encode_image

PIXELS = np.random.RandomState(0).randint(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("image_format", ImageFormat)
def test_same_pixels_same_bytes(image_format: ImageFormat) -> None:
    quality = 80 if image_format.lossy else None
    assert encode_image(PIXELS, image_format, quality) == encode_image(PIXELS.copy(), image_format, quality)


@pytest.mark.parametrize("image_format", [ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP])
def test_files_hold_the_picture(image_format: ImageFormat) -> None:
    with Image.open(io.BytesIO(encode_image(PIXELS, image_format, None))) as image:
        assert (image.format, image.size, image.mode) == (image_format.upper(), (32, 24), "RGB")
        if not image_format.lossy:
            np.testing.assert_array_equal(np.asarray(image), PIXELS)


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
