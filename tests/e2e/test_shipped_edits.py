"""Edits on the shipped pack: what stays, what changes, and that nothing wished for is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.edit_wishes import WISHES, more_hair, no_nose
from maskweave_client import Client
from tests.support.shipped import LABEL_MAPS, SIDE, fitted

Pixels = NDArray[np.uint8]

MODEL = "faces64"
SKIN = 2
MIN_PSNR = 20.0
"""Between an image and what comes back when it is made anew in its own shape, in decibels."""

every_map = pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)


def made(client: Client, label_map: Pixels, seed: int = 3) -> Pixels:
    return client.synthesize(MODEL, label_map, seed=seed).images[0].to_numpy()


def edited(client: Client, what: Pixels | int, target: Pixels, source: Pixels | None) -> Pixels:
    return client.edit(MODEL, what, target, source=source).images[0].to_numpy()


def apart(one: Pixels, other: Pixels) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = np.abs(one.astype(float) - other).mean(2)
    return difference


def psnr(one: Pixels, other: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


def test_images_can_be_edited(shipped_client: Client) -> None:
    editing = shipped_client.model(MODEL).editing
    assert editing is not None
    assert editing.images
    assert shipped_client.model("faces64_styles").editing is None


@every_map
@pytest.mark.parametrize("as_image", [False, True], ids=["seed", "image"])
def test_an_edit_shows_where_it_is_and_nowhere_else(
    shipped_client: Client, file: Path, as_image: bool
) -> None:
    source = fitted(file)
    target = more_hair(source, source)
    before = made(shipped_client, source)
    change = apart(before, edited(shipped_client, before if as_image else 3, target, source))
    assert change[source != target].mean() > 4
    rows, columns = np.nonzero(source != target)
    y, x = np.mgrid[:SIDE, :SIDE]
    far = ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(2) >= 16
    assert not change[far].any()


@every_map
def test_an_image_made_anew_in_its_own_shape_is_still_that_image(shipped_client: Client, file: Path) -> None:
    """On average: single seeds come to 18.6 decibels."""
    source = fitted(file)
    images = [made(shipped_client, source, seed=seed) for seed in range(1, 5)]
    again = [edited(shipped_client, image, source, None) for image in images]
    assert np.mean([psnr(*pair) for pair in zip(images, again, strict=True)]) > MIN_PSNR
    own = [apart(images[i], again[i]).mean() for i in range(4)]
    others = [apart(images[i - 1], again[i]).mean() for i in range(4)]
    assert np.mean(own) < np.mean(others) / 2


def test_no_nose_takes_the_colour_of_the_skin(shipped_client: Client) -> None:
    source = fitted(LABEL_MAPS[0])
    target = no_nose(source, source)
    result = edited(shipped_client, made(shipped_client, source), target, source)
    skin = result[source == SKIN].mean(0)
    assert np.abs(result[source != target].mean(0) - skin).max() < 40


@pytest.mark.parametrize("wish", list(WISHES))
def test_whatever_is_wished_for_gives_an_image(shipped_client: Client, wish: str) -> None:
    source, other = fitted(LABEL_MAPS[0]), fitted(LABEL_MAPS[1])
    target = WISHES[wish](source, other)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for what in (3, made(shipped_client, source), noise):
        assert edited(shipped_client, what, target, source).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("class_id", range(8))
def test_all_of_one_class_gives_an_image(shipped_client: Client, class_id: int) -> None:
    source = fitted(LABEL_MAPS[0])
    plain = np.full_like(source, class_id)
    for what in (3, made(shipped_client, source)):
        assert edited(shipped_client, what, plain, source).std() > 0
        assert edited(shipped_client, what, plain, None).std() > 0
