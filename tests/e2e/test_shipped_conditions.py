"""Every kind of condition that the shipped pack takes, as users meet it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave_client import Client
from tests.support.shipped import KINDS, condition, samples

SAMPLES = [(kind, file) for kind in KINDS for file in samples(kind)]


def images(client: Client, number: int = 1, **given: Any) -> list[NDArray[np.int64]]:
    made = client.synthesize("faces64", seed=3, number_of_images=number, **given).images
    return [image.to_numpy().astype(int) for image in made]


@pytest.mark.parametrize(("kind", "file"), SAMPLES, ids=[f"{kind}-{file.stem}" for kind, file in SAMPLES])
def test_every_sample_gives_faces_that_differ_by_seed(shipped_client: Client, kind: str, file: Path) -> None:
    made = images(shipped_client, 3, **condition(kind, file))
    assert all(image.std() > 15 for image in made)
    assert np.abs(made[0] - made[1]).mean() > 5
    assert np.abs(made[1] - made[2]).mean() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_another_condition_gives_another_image_of_the_same_seed(shipped_client: Client, kind: str) -> None:
    ones, others = (images(shipped_client, **condition(kind, file)) for file in samples(kind)[:2])
    assert np.abs(ones[0] - others[0]).mean() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_follows_the_condition(shipped_client: Client, kind: str) -> None:
    """Mirrored, it makes an image that fits the mirrored one better than the one before."""
    file = next(file for file in samples(kind) if "looking" in file.stem or kind == "exemplar")
    with Image.open(file) as opened:
        mirrored: dict[str, Any] = {kind: opened.transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    (plain,) = images(shipped_client, **condition(kind, file))
    (turned,) = images(shipped_client, **mirrored)
    assert np.abs(plain - turned[:, ::-1]).mean() < np.abs(plain - turned).mean()


def test_the_size_of_a_sketch_hardly_matters(shipped_client: Client) -> None:
    with Image.open(samples("sketch")[0]) as opened:
        sketch = opened.convert("L")
    large = sketch.resize((1024, 1024), Image.Resampling.BICUBIC)
    ours, theirs = (images(shipped_client, sketch=each)[0] for each in (sketch, large))
    assert np.abs(ours - theirs).mean() < 12
