"""What the client makes of styles, encodings and morphs, before anything is sent."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Blend, Seed, Style, StyleCode, blend
from maskweave_client._style_requests import encode_styles_request, morph_request
from maskweave_client._styles import styles_to_proto
from tests.support.turned import ORIENTATIONS, turned_file

LABEL_MAP = np.zeros((2, 2), np.uint8)
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
CODE = StyleCode("dolls", "1.0.0", 1, (0.5, -2.0), (1, 3))

HALF: Any = "half"

texts = st.text(min_size=1, max_size=20)
floats = st.floats(width=32, allow_nan=False)
uint32 = st.integers(0, 2**32 - 1)
codes = st.builds(
    StyleCode,
    texts,
    texts,
    uint32,
    st.lists(floats, min_size=1, max_size=5).map(tuple),
    st.lists(uint32, max_size=3).map(tuple),
)


def encode(image: Any = IMAGE, **changed: Any) -> pb.EncodeStylesRequest:
    arguments: dict[str, Any] = {"sample_seed": None, "priority": "interactive", **changed}
    return encode_styles_request("dolls", image, LABEL_MAP, **arguments)


def morph(**changed: Any) -> pb.MorphRequest:
    arguments: dict[str, Any] = {
        "from_styles": {1: CODE},
        "to_styles": None,
        "number_of_frames": 3,
        "first_position": 0.0,
        "last_position": 1.0,
        "path": "linear",
        "seed": None,
        "latent": None,
        "image_format": "png",
        "quality": None,
        "priority": "interactive",
        **changed,
    }
    return morph_request(
        "dolls", LABEL_MAP, arguments.pop("from_styles"), arguments.pop("to_styles"), **arguments
    )


@given(codes)
def test_a_code_is_kept_as_bytes(code: StyleCode) -> None:
    assert StyleCode.from_bytes(code.to_bytes()) == code


@pytest.mark.parametrize("data", [b"", b"\xff", b"no code", CODE.to_bytes()[:3], CODE.to_bytes()[:-3]])
def test_other_bytes_are_no_code(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(data)} bytes that are no code; allowed: what to_bytes gave"):
        StyleCode.from_bytes(data)


def test_every_kind_of_style_is_sent() -> None:
    styles = styles_to_proto("styles", {0: Seed(0), 1: CODE, 2: blend((CODE, 1.5), (Seed(7), -0.5))})
    assert styles[0].WhichOneof("style") == "seed"
    assert list(styles[1].code.values) == [0.5, -2.0]
    parts = styles[2].blend.styles
    assert [(part.weight, part.WhichOneof("style")) for part in parts] == [(1.5, "code"), (-0.5, "seed")]
    assert blend((CODE, 1.5)) == Blend(((CODE, 1.5),))


@pytest.mark.parametrize(
    ("styles", "error", "told"),
    [
        ({1: 7}, TypeError, r"styles\[1\]: got int; allowed: StyleCode, Seed, Blend"),
        ({1: Seed(-1)}, ValueError, r"styles\[1\]: got -1; allowed: an integer from 0"),
        ({1: Seed(HALF)}, TypeError, r"styles\[1\]: got 'half'; allowed: an integer from 0"),
        ({-1: CODE}, ValueError, "styles: got the class -1; allowed: class ids"),
        ({"hair": CODE}, ValueError, "styles: got the class 'hair'; allowed: class ids"),
        ({1: blend((CODE, HALF))}, TypeError, r"styles\[1\]: got .*; allowed: a StyleCode or a Seed"),
        ({1: Blend(((Blend(()), 1.0),))}, TypeError, r"styles\[1\]: got Blend in a blend"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_style_is_refused(styles: dict[int, Style], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        styles_to_proto("styles", styles)


def test_images_travel_as_they_come() -> None:
    assert encode(b"a file").picture.file == b"a file"
    for image in (IMAGE, Image.fromarray(IMAGE)):
        raw = encode(image).picture.raw
        assert (raw.data, raw.width, raw.height) == (IMAGE.tobytes(), 2, 2)
    assert not encode().HasField("sample_seed")
    assert encode(sample_seed=0).HasField("sample_seed")


@pytest.mark.parametrize(
    ("image", "error", "told"),
    [
        (Image.new("RGBA", (2, 2)), ValueError, "image: got an image of mode RGBA"),
        (IMAGE.astype(float), ValueError, r"image: got float64 \(2, 2, 3\); allowed: uint8"),
        (IMAGE[..., 0], ValueError, r"image: got uint8 \(2, 2\)"),
        (("file.png",), TypeError, "image: got tuple"),
    ],
)
def test_other_images_are_refused(image: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        encode(image)


def test_a_morph_says_everything_it_was_told() -> None:
    request = morph(first_position=-0.5, last_position=1.5, path="spherical", seed=0)
    assert (request.first_position, request.last_position) == (-0.5, 1.5)
    assert request.path == pb.MORPH_PATH_SPHERICAL
    assert request.WhichOneof("start") == "seed"
    assert list(request.from_styles) == [1]
    assert not request.to_styles
    assert morph(latent=[0.5]).WhichOneof("start") == "latent"
    assert morph().WhichOneof("start") is None


@pytest.mark.parametrize(
    ("changed", "error", "told"),
    [
        ({"path": "scenic"}, ValueError, "path: got 'scenic'; allowed: linear, spherical"),
        ({"seed": 1, "latent": [0.0]}, ValueError, "seed, latent: got both"),
        ({"number_of_frames": "many"}, TypeError, "number_of_frames: got 'many'"),
        ({"first_position": None}, TypeError, "first_position: got"),
        ({"priority": "now"}, ValueError, "priority: got 'now'"),
        ({"to_styles": {1: None}}, TypeError, r"to_styles\[1\]: got NoneType"),
    ],
)
def test_other_morphs_are_refused(changed: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        morph(**changed)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_are_sent_as_they_are_shown(orientation: int) -> None:
    upright = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    with Image.open(io.BytesIO(turned_file(upright, orientation))) as image:
        raw = encode(image).picture.raw
    assert (raw.width, raw.height, raw.data) == (3, 2, upright.tobytes())
    with Image.open(io.BytesIO(turned_file(upright[..., 0], orientation))) as image:
        sent = encode_styles_request("dolls", IMAGE, image, sample_seed=None, priority="interactive")
    assert (sent.label_map.raw.width, sent.label_map.raw.data) == (3, upright[..., 0].tobytes())


def test_a_damaged_orientation_turns_nothing() -> None:
    image = Image.fromarray(IMAGE)
    image.info["exif"] = b"no block at all"
    assert encode(image).picture.raw.data == IMAGE.tobytes()
