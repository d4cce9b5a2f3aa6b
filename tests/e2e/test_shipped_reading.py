"""Label maps that the shipped packs read: of what was drawn, and of seeds, whose images they lead back to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave_client import Client, ReadingSupport
from tests.support.shipped import LABEL_MAPS, SIDE, fitted

Pixels = NDArray[np.uint8]

MIN_READ = 0.75
"""Share of the pixels of a drawing that are read back off the image of it; .81 is the lowest found."""
SEEDS = range(4)

every_map = pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_what_the_models_read(shipped_client: Client) -> None:
    assert shipped_client.model("faces64").reading == ReadingSupport(images=True, seeds=True)
    for styled in ("faces64_styles", "avatars128_styles"):
        assert shipped_client.model(styled).reading == ReadingSupport(images=True, seeds=False)


@every_map
@pytest.mark.parametrize("model", ["faces64", "faces64_styles"])
def test_what_was_drawn_is_read_back(shipped_client: Client, file: Path, model: str) -> None:
    drawn = fitted(file)
    image = shipped_client.synthesize(model, drawn, seed=3).images[0]
    read = shipped_client.read_label_map(model, image.data).label_map
    assert (read == drawn).mean() > MIN_READ


def test_the_map_of_a_seeds_own_image_leads_back_to_it(shipped_client: Client) -> None:
    readings = [shipped_client.read_label_map("faces64", seed) for seed in SEEDS]
    owns = [reading.image.to_numpy() for reading in readings if reading.image is not None]
    for seed, reading, own in zip(SEEDS, readings, owns, strict=True):
        assert reading.label_map.shape == (SIDE, SIDE)
        assert len(np.unique(reading.label_map)) > 5, "a face has more parts"
        back = shipped_client.synthesize("faces64", reading.label_map, seed=seed).images[0].to_numpy()
        others = [apart(back, other) for other in owns if other is not own]
        assert apart(back, own) < min(others) / 2
        # As an image of somebody's it is read as it is of the seed.
        alone = shipped_client.read_label_map("faces64", own).label_map
        assert np.array_equal(alone, reading.label_map)
