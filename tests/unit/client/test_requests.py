"""What the client makes of what callers hand it, before anything is sent."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import LabelMap
from maskweave_client._conditions import Conditions
from maskweave_client._synthesis_requests import synthesize_request

SMALL = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)


def build(label_map: LabelMap = SMALL, **changed: Any) -> pb.SynthesizeRequest:
    arguments: dict[str, Any] = {
        "seed": None,
        "seeds": None,
        "latents": None,
        "number_of_images": None,
        "style_strength": None,
        "image_format": "png",
        "quality": None,
        "priority": "interactive",
        **changed,
    }
    return synthesize_request("faces64", Conditions(label_map), **arguments)


def test_what_is_not_given_is_not_set() -> None:
    request = build()
    assert request.WhichOneof("start") is None
    for name in ("number_of_images", "style_strength", "image_quality"):
        assert not request.HasField(name)


def test_zeros_are_sent() -> None:
    request = build(seed=0, number_of_images=0, style_strength=0.0, quality=0)
    assert request.WhichOneof("start") == "seed"
    for name in ("number_of_images", "style_strength", "image_quality"):
        assert request.HasField(name)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, np.bool_])
def test_small_arrays_travel_raw(dtype: type) -> None:
    raw = build(SMALL.astype(dtype)).label_map.raw
    assert (raw.width, raw.height, raw.data) == (3, 2, SMALL.astype(dtype).astype(np.uint8).tobytes())


def test_strided_arrays_travel_as_they_look() -> None:
    assert build(SMALL.T).label_map.raw.data == bytes([0, 3, 1, 4, 2, 5])


def test_large_arrays_travel_as_png() -> None:
    large = np.zeros((300, 300), np.uint8)
    with Image.open(io.BytesIO(build(large).label_map.png)) as image:
        assert (image.mode, image.size) == ("L", (300, 300))


def test_empty_starts_are_sent_for_the_service_to_refuse() -> None:
    assert build(seeds=[]).WhichOneof("start") == "seeds"
    assert build(latents=[]).WhichOneof("start") == "latents"


def test_starts() -> None:
    assert build(seeds=[1, 2]).seeds.values == [1, 2]
    latents = build(latents=np.array([[0.5, 1.5]], np.float32)).latents.latents
    assert [list(latent.values) for latent in latents] == [[0.5, 1.5]]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), r"got uint8 \(2, 2, 3\); allowed: integers \[height, width\]"),
        (np.zeros((2, 2)), r"got float64 \(2, 2\)"),
        (np.array([[0, 256]]), "got ids from 0 to 256; allowed: 0 to 255"),
        (np.array([[-1, 3]]), "got ids from -1 to 3"),
        (Image.new("RGB", (2, 2)), "mode RGB; allowed: P, L or 1.*Palette.label_map"),
    ],
    ids=["three_dimensions", "floats", "large_ids", "negative_ids", "colours"],
)
def test_label_maps_that_cannot_be_one(label_map: LabelMap, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(label_map)


def test_label_maps_of_another_type() -> None:
    with pytest.raises(TypeError, match="got list; allowed: a 2-D array, a PIL image"):
        build([[0, 1]])  # type: ignore[arg-type]


def test_one_start_at_most() -> None:
    with pytest.raises(ValueError, match="seed, seeds, latents: got more than one"):
        build(seed=1, seeds=[2])


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="got 'gif'; allowed: png, jpeg, webp, raw"):
        build(image_format="gif")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("seed", -1, "seed: got -1; allowed: integers from 0 to 4294967295"),
        ("seed", 2**32, "seed: got 4294967296"),
        ("seed", 1.5, r"seed: got 1\.5"),
        ("seeds", [1, 2**32], r"seeds: got \[1, 4294967296\]; allowed: a sequence of integers from 0"),
        ("seeds", 3, "seeds: got 3"),
        (
            "latents",
            np.zeros(100),
            r"latents: got float64 \(100,\); allowed: numbers \[images, latent",
        ),
        ("latents", [["a"]], r"latents: got \[\['a'\]\]"),
        ("number_of_images", 2**31, "number_of_images: got 2147483648; allowed: an integer of 32 bits"),
        ("style_strength", "much", "style_strength: got 'much'; allowed: a number"),
        ("quality", "90", "quality: got '90'"),
    ],
)
def test_numbers_that_cannot_be_sent_are_refused_by_name(argument: str, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        build(**{argument: value})


@pytest.mark.parametrize(
    ("priority", "value"), [("interactive", pb.PRIORITY_INTERACTIVE), ("batch", pb.PRIORITY_BATCH)]
)
def test_priority(priority: str, value: int) -> None:
    assert build(priority=priority).priority == value


def test_unknown_priority_is_refused() -> None:
    with pytest.raises(ValueError, match=r"priority: got 'urgent'; allowed: interactive, batch"):
        build(priority="urgent")
