"""The pack that the repository ships, as users meet it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskweave_client import Client
from tests.support.gateway_process import gateway_process
from tests.support.shipped import KINDS, LABEL_MAPS, REPOSITORY

CLASSES = ["background", "hair", "skin", "brows", "eyes", "nose", "mouth", "neck"]


def test_the_model_and_its_palette(shipped_client: Client) -> None:
    model = shipped_client.model("faces64")
    assert [entry.name for entry in model.palette] == CLASSES
    assert [entry.id for entry in model.palette] == list(range(8))
    assert (model.image_width, model.image_height, model.latent_size) == (64, 64, 100)
    assert [condition.kind for condition in model.conditions] == KINDS


@pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)
def test_every_sample_gives_faces_that_differ_by_seed(shipped_client: Client, file: Path) -> None:
    with Image.open(file) as label_map:
        made = shipped_client.synthesize("faces64", label_map, seed=0, number_of_images=3).images
    pixels = [image.to_numpy().astype(int) for image in made]
    assert all(image.std() > 20 for image in pixels)
    assert np.abs(pixels[0] - pixels[1]).mean() > 5
    assert np.abs(pixels[1] - pixels[2]).mean() > 5


def test_the_image_follows_the_mask(shipped_client: Client) -> None:
    """Mirroring the mask mirrors the image's layout: it fits the mirrored image better than its own."""
    with Image.open(LABEL_MAPS[0]) as opened:
        label_map = np.asarray(opened)
    half = label_map.copy()
    half[:, half.shape[1] // 2 :] = 0  # the right half of the face is background
    mirrored = half[:, ::-1]
    plain, turned = (
        shipped_client.synthesize("faces64", each, seed=3, style_strength=0.0)
        .images[0]
        .to_numpy()
        .astype(int)
        for each in (half, mirrored)
    )
    assert np.abs(plain - turned[:, ::-1]).mean() < np.abs(plain - turned).mean()


def test_same_seed_same_bytes_also_after_a_restart(shipped_client: Client) -> None:
    with Image.open(LABEL_MAPS[0]) as label_map:
        first = shipped_client.synthesize("faces64", label_map, seeds=[1, 2, 1]).images
        with gateway_process(REPOSITORY) as other, Client(other.address) as other_client:
            again = other_client.synthesize("faces64", label_map, seeds=[1, 2, 1]).images
    assert first == again
    assert first[0] == first[2] != first[1]


def test_style_strength_changes_the_image(shipped_client: Client) -> None:
    with Image.open(LABEL_MAPS[0]) as label_map:
        least, most = (
            shipped_client.synthesize("faces64", label_map, seed=1, style_strength=strength).images[0]
            for strength in (0.0, 1.0)
        )
    assert least.data != most.data
