"""The styles of the shipped pack `faces64_styles`: what its codes hold, and where they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave_client import Client, GeneratedImage, Seed, Style, StyleCode, blend
from tests.support.shipped import LABEL_MAPS, SIDE, fitted

MODEL = "faces64_styles"
HAIR, SKIN, NOSE, NECK = 1, 2, 5, 7
CLASSES = 8
MIN_PSNR = 20.0
"""Between an image and what its codes give, in decibels; 21.5 is the lowest found."""
MIN_GAIN = 3.0
"""How much nearer, in decibels, codes bring an image than a seed does."""
MIN_RATIO = {HAIR: 4.0, SKIN: 2.5}
"""How much more a class's pixels change than all others when only its style does; the skin encloses some."""

every_map = pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)


def pixels(image: GeneratedImage) -> NDArray[np.float64]:
    return image.to_numpy().astype(np.float64)


def psnr(one: GeneratedImage, other: GeneratedImage) -> float:
    error = float(np.square(pixels(one) - pixels(other)).mean())
    return 10 * float(np.log10(255**2 / error))


def apart(one: GeneratedImage, other: GeneratedImage) -> NDArray[np.float64]:
    """Mean absolute difference of each pixel."""
    difference: NDArray[np.float64] = np.abs(pixels(one) - pixels(other)).mean(2)
    return difference


def face(client: Client, file: Path, seed: int) -> GeneratedImage:
    """A face of the other model, which the pack was not taught to give back."""
    return client.synthesize("faces64", fitted(file), seed=seed).images[0]


def codes_of(client: Client, file: Path, seed: int) -> dict[int, StyleCode]:
    return client.encode_styles(MODEL, face(client, file, seed).to_numpy(), fitted(file))


def made(client: Client, file: Path, styles: dict[int, Style], seed: int = 9) -> GeneratedImage:
    return client.synthesize(MODEL, fitted(file), seed=seed, styles=styles).images[0]


def test_the_model_and_its_styles(shipped_client: Client) -> None:
    model, other = shipped_client.model(MODEL), shipped_client.model("faces64")
    assert [each.name for each in shipped_client.models()] == ["avatars128_styles", "faces64", MODEL]
    assert (model.method, other.method) == ("groupdnet", "sis-ug")
    assert model.palette == other.palette
    assert (model.image_width, model.image_height) == (SIDE, SIDE)
    assert model.styles is not None
    assert model.styles.styles == ((0,), (HAIR,), (SKIN, NOSE), (3,), (4,), (6,), (7,))
    assert other.styles is None
    assert model.latent_size == model.styles.style_size * len(model.styles.styles)


@every_map
def test_the_codes_of_an_image_give_it_back(shipped_client: Client, file: Path) -> None:
    for seed in (0, 1):
        image = face(shipped_client, file, seed)
        codes = codes_of(shipped_client, file, seed)
        back = psnr(image, made(shipped_client, file, dict(codes)))
        by_chance = psnr(image, made(shipped_client, file, {}))
        assert back > MIN_PSNR
        assert back > by_chance + MIN_GAIN


def test_the_codes_of_an_image_leave_nothing_to_the_seed_where_all_classes_are(
    shipped_client: Client,
) -> None:
    whole = [file for file in LABEL_MAPS if len(np.unique(fitted(file))) == CLASSES]
    assert len(whole) == len(LABEL_MAPS) - 1
    for file in whole:
        codes: dict[int, Style] = dict(codes_of(shipped_client, file, 0))
        one, other = (made(shipped_client, file, codes, seed) for seed in (1, 2))
        assert one.data == other.data


def test_the_style_of_a_class_that_is_not_there_hardly_shows(shipped_client: Client) -> None:
    """The networks see all codes, so that the seed's neck does change an image without one."""
    (file,) = (path for path in LABEL_MAPS if path.stem == "heldout_wide_smile")
    assert NECK not in fitted(file)
    codes: dict[int, Style] = dict(codes_of(shipped_client, file, 0))
    one, other, other_hair = (
        made(shipped_client, file, styles, seed)
        for styles, seed in ((codes, 1), (codes, 2), ({**codes, HAIR: Seed(3)}, 1))
    )
    assert apart(one, other).mean() < 1.5
    assert apart(one, other).mean() < apart(one, other_hair).mean() / 2


@every_map
@pytest.mark.parametrize("class_id", [HAIR, SKIN], ids=["hair", "skin"])
def test_a_changed_code_shows_in_its_own_pixels(shipped_client: Client, file: Path, class_id: int) -> None:
    codes: dict[int, Style] = dict(codes_of(shipped_client, file, 0))
    (other,) = (path for path in LABEL_MAPS if path.stem == "heldout_fringe")
    borrowed = codes_of(shipped_client, other, 3)[class_id]
    plain = made(shipped_client, file, codes)
    own = np.isin(fitted(file), (class_id, NOSE) if class_id == SKIN else (class_id,))
    styles: tuple[Style, ...] = (borrowed, Seed(1), Seed(2), Seed(3))
    changes = [apart(plain, made(shipped_client, file, {**codes, class_id: style})) for style in styles]
    assert min(change[own].mean() for change in changes) > 4, "the new style is to be seen"
    change = np.mean(changes, 0)  # a single style can be unlike what goes with the others
    assert change[own].mean() > MIN_RATIO[class_id] * change[~own].mean()


@every_map
@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_morph_goes_from_image_to_image(shipped_client: Client, file: Path, path: str) -> None:
    read = codes_of(shipped_client, file, 0)
    start: dict[int, Style] = {HAIR: read[HAIR], SKIN: read[SKIN]}
    end: dict[int, Style] = {HAIR: Seed(3), SKIN: blend((read[SKIN], 0.5), (Seed(4), 0.5)), 0: Seed(5)}
    frames = [
        frame.image
        for frame in shipped_client.morph(
            MODEL,
            fitted(file),
            start,
            end,
            number_of_frames=5,
            path="spherical" if path == "spherical" else "linear",
            seed=9,
        )
    ]
    assert len({frame.data for frame in frames}) == 5
    assert frames[0].data == made(shipped_client, file, start).data
    assert frames[-1].data == made(shipped_client, file, end).data
    from_start = [float(apart(frames[0], frame).mean()) for frame in frames]
    to_end = [float(apart(frame, frames[-1]).mean()) for frame in frames]
    assert from_start == sorted(from_start)
    assert to_end == sorted(to_end, reverse=True)
