"""Every way to hand over an image: arrays, images, bytes of any kind and paths; all of them upright."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Palette, PaletteEntry, StyleCode
from maskweave_client._conditions import Conditions, condition_fields
from maskweave_client._edit_requests import edit_request
from maskweave_client._files import MAX_FILE_BYTES, file_bytes, format_of
from maskweave_client._paint_requests import paint_start, paint_update
from maskweave_client._style_requests import encode_styles_request, morph_request
from tests.support.turned import ORIENTATIONS, turned_file

PALETTE = Palette(
    (
        PaletteEntry(0, "a", "a", "#000000"),
        PaletteEntry(1, "b", "b", "#ff0000"),
        PaletteEntry(2, "c", "c", "#00ff00"),
    )
)
IDS = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
RGB = np.array([entry.rgb for entry in PALETTE], np.uint8)[IDS]
RGBA = np.dstack([RGB, np.full(IDS.shape, 255, np.uint8)])
GREYS = np.array([[0, 90, 255], [10, 20, 30]], np.uint8)

FORMS: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": lambda data, _: data,
    "bytearray": lambda data, _: bytearray(data),
    "memoryview": lambda data, _: memoryview(data),
    "Path": lambda _, path: path,
    "str": lambda _, path: str(path),
}


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def condition(kind: str, value: Any) -> Any:
    return condition_fields(Conditions(**{kind: value}))[kind]


def edit(image: Any, target: Any) -> pb.EditRequest:
    return edit_request(
        "m",
        image,
        target,
        source=None,
        latent=None,
        style_strength=None,
        blend_width=None,
        image_format="png",
        quality=None,
        priority="interactive",
    )


def start(label_map: Any) -> pb.PaintStart:
    more: dict[str, Any] = dict.fromkeys(("seed", "latent", "style_strength", "quality"))
    return paint_start("m", label_map, image_format="png", priority="interactive", **more).start


def update(label_map: Any) -> pb.PaintUpdate:
    more: dict[str, Any] = dict.fromkeys(("strokes", "seed", "latent", "style_strength"))
    return paint_update(1, label_map=label_map, **more).update


def encode(image: Any, label_map: Any) -> pb.EncodeStylesRequest:
    return encode_styles_request("m", image, label_map, sample_seed=None, priority="interactive")


def morph(label_map: Any) -> pb.MorphRequest:
    more: dict[str, Any] = dict.fromkeys(("seed", "latent", "quality"))
    positions: dict[str, Any] = {"number_of_frames": 1, "first_position": 0.0, "last_position": 1.0}
    return morph_request(
        "m", label_map, {}, {}, **positions, path="linear", image_format="png", priority="interactive", **more
    )


WAYS_IN: dict[str, tuple[NDArray[np.uint8], Callable[[Any], Any]]] = {
    "label_map": (IDS, lambda it: condition("label_map", it)),
    "scribble": (IDS, lambda it: condition("scribble", it)),
    "proxy_mask": (IDS, lambda it: condition("proxy_mask", it)),
    "sketch": (GREYS, lambda it: condition("sketch", it)),
    "exemplar": (RGB, lambda it: condition("exemplar", it)),
    "edit image": (RGB, lambda it: edit(it, IDS).picture),
    "edit target": (IDS, lambda it: edit(1, it).target_label_map),
    "encode_styles image": (RGB, lambda it: encode(it, IDS).picture),
    "encode_styles label map": (IDS, lambda it: encode(RGB, it).label_map),
    "morph": (IDS, lambda it: morph(it).label_map),
    "paint": (IDS, lambda it: start(it).label_map),
    "paint update": (IDS, lambda it: update(it).label_map),
}
"""What can be handed over where, and how it travels."""


def pixels_of(message: Any) -> NDArray[np.uint8]:
    """What a message shows, its own Exif orientation left out."""
    encoding = message.WhichOneof("encoding")
    if encoding == "raw":
        shape = (message.raw.height, message.raw.width, -1)
        pixels = np.frombuffer(message.raw.data, np.uint8).reshape(shape)
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels
    with Image.open(io.BytesIO(getattr(message, encoding))) as image:
        return np.asarray(image)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS_IN)
def test_files_travel_as_they_are_in_whatever_form_they_come(way: str, form: str, tmp_path: Path) -> None:
    shown, built = WAYS_IN[way]
    data = png(shown)
    path = tmp_path / "file.png"
    path.write_bytes(data)
    message = built(FORMS[form](data, path))
    assert getattr(message, message.WhichOneof("encoding")) == data


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("way", WAYS_IN)
def test_images_are_sent_upright_wherever_they_go_in(way: str, orientation: int) -> None:
    shown, built = WAYS_IN[way]
    with Image.open(io.BytesIO(turned_file(shown, orientation))) as image:
        message = built(image)
    np.testing.assert_array_equal(pixels_of(message), shown)
    if message.WhichOneof("encoding") != "raw":  # nor may the service turn it once more
        with Image.open(io.BytesIO(getattr(message, message.WhichOneof("encoding")))) as sent:
            assert not sent.getexif()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", [*FORMS, "image"])
def test_palettes_read_everything_upright(orientation: int, form: str, tmp_path: Path) -> None:
    for shown, read in ((RGB, PALETTE.label_map), (RGBA, PALETTE.scribble)):
        data = turned_file(shown, orientation)
        path = tmp_path / "file.png"
        path.write_bytes(data)
        if form == "image":
            with Image.open(path) as image:
                ids = read(image)
        else:
            ids = read(FORMS[form](data, path))
        np.testing.assert_array_equal(ids, IDS)


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_path_that_leads_nowhere_is_told_with_the_argument(way: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\w+: No such file or directory: '.*nowhere.png'"):
        WAYS_IN[way][1](tmp_path / "nowhere.png")
    with pytest.raises(IsADirectoryError, match=r"\w+: Is a directory"):
        WAYS_IN[way][1](str(tmp_path))


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ValueError, match=f"sketch: /dev/zero is larger than the {MAX_FILE_BYTES} bytes"):
        file_bytes("sketch", "/dev/zero")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize(
    "way", ["label_map", "scribble", "proxy_mask", "edit target", "morph", "paint", "paint update"]
)
def test_other_formats_for_ids_are_called_by_their_names(way: str, kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind)
    name = "WebP" if kind == "WEBP" else kind
    with pytest.raises(ValueError, match=f"got a {name} file; allowed: PNG with a palette or in greys"):
        WAYS_IN[way][1](file.getvalue())


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format_or_none(data: bytes) -> None:
    assert format_of(data) in (None, "JPEG", "GIF", "BMP", "TIFF", "PDF", "WebP", "AVIF or HEIC", "PNG")
    assert format_of(b"\x89PNG\r\n\x1a\n" + data) == "PNG"


def test_a_kept_code_is_read_from_any_bytes() -> None:
    code = StyleCode("m", "1", 1, (0.5,))
    assert StyleCode.from_bytes(bytearray(code.to_bytes())) == code
    assert StyleCode.from_bytes(memoryview(code.to_bytes())) == code


# Palette.resize

SIZES = st.integers(1, 12)
MODES = {"P": 1, "L": 1, "1": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=12)),
    SIZES,
    SIZES,
)
def test_resized_pixels_are_those_at_the_centres(pixels: NDArray[np.uint8], width: int, height: int) -> None:
    resized = Palette.resize(pixels, width, height)
    assert resized.shape == (height, width, *pixels.shape[2:])
    for y in range(height):
        for x in range(width):
            # floor((x + 0.5) * old / new), in whole numbers
            row = (2 * y + 1) * pixels.shape[0] // (2 * height)
            column = (2 * x + 1) * pixels.shape[1] // (2 * width)
            np.testing.assert_array_equal(resized[y, x], pixels[row, column])


@given(st.sampled_from(sorted(MODES)), SIZES, SIZES, st.randoms(use_true_random=False))
def test_resized_images_keep_mode_palette_and_values(mode: str, width: int, height: int, random: Any) -> None:
    data = random.randbytes(5 * 7 * MODES[mode])
    image = (
        Image.frombytes("L", (5, 7), data).convert("1")
        if mode == "1"
        else Image.frombytes(mode, (5, 7), data)
    )
    if mode == "P":
        image.putpalette(random.randbytes(768))
        image.info["transparency"] = 3
    resized = Palette.resize(image, width, height)
    assert (resized.mode, resized.size) == (mode, (width, height))
    np.testing.assert_array_equal(np.asarray(resized), Palette.resize(np.asarray(image), width, height))
    if mode == "P":
        assert resized.getpalette() == image.getpalette()
        assert resized.info["transparency"] == 3


def test_a_resized_label_map_has_no_class_that_was_not_there() -> None:
    painted = PALETTE.color_image(np.kron(IDS, np.ones((9, 9), np.uint8)))
    assert set(np.unique(np.asarray(Palette.resize(painted, 64, 64)))) == {0, 1, 2}
    smooth = painted.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    with pytest.raises(ValueError, match="at pixel"):  # what the README warns of
        PALETTE.label_map(smooth)


@pytest.mark.parametrize(
    ("given", "size", "error", "told"),
    [
        (IDS, (0, 4), ValueError, "width: got 0, of 3; allowed: at least 1"),
        (IDS, (4, -1), ValueError, "height: got -1, of 2"),
        (np.zeros((0, 3), np.uint8), (4, 4), ValueError, "height: got 4, of 0"),
        (IDS[0], (4, 4), TypeError, "label_map: got ndarray; allowed: a PIL image or an array"),
        ([[0]], (4, 4), TypeError, "label_map: got list"),
        (IDS, (1.5, 4), TypeError, "float"),
    ],
)
def test_other_resizes_are_refused(given: Any, size: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Palette.resize(given, *size)
