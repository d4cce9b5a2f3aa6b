"""The styles of the shipped pack, by both engines: the same codes, and the same images of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, Seed, Style, StyleCode, blend
from tests.support.shipped import LABEL_MAPS, assert_same, fitted
from tests.support.triton_process import TritonProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "faces64_styles"
HAIR, SKIN = 1, 2
MAX_CODE_ERROR = 1e-4
"""What different ways of batching may do to a number of a code."""

every_map = pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)


def codes_of(
    client: Client, images: Client, file: Path, sample_seed: int | None = None
) -> dict[int, StyleCode]:
    """What one gateway reads of an image that another one made."""
    (image,) = images.synthesize("faces64", fitted(file), seed=0).images
    return client.encode_styles(MODEL, image.to_numpy(), fitted(file), sample_seed=sample_seed)


@every_map
@pytest.mark.parametrize("sample_seed", [None, 5])
def test_codes(
    shipped_client: Client, shipped_by_triton: Client, file: Path, sample_seed: int | None
) -> None:
    ours, theirs = (
        codes_of(client, shipped_client, file, sample_seed) for client in (shipped_client, shipped_by_triton)
    )
    assert ours.keys() == theirs.keys() == {*np.unique(fitted(file)).tolist()} - {5}
    for class_id, code in ours.items():
        assert (code.model, code.model_version) == (theirs[class_id].model, theirs[class_id].model_version)
        np.testing.assert_allclose(code.values, theirs[class_id].values, atol=MAX_CODE_ERROR)


@every_map
def test_images(shipped_client: Client, shipped_by_triton: Client, file: Path) -> None:
    codes = codes_of(shipped_client, shipped_client, file)
    mixed: dict[int, Style] = {HAIR: Seed(3), SKIN: blend((codes[SKIN], 0.5), (Seed(4), 0.5))}
    wanted: list[dict[int, Style]] = [{}, dict(codes), mixed]
    for styles in wanted:
        ours, theirs = (
            client.synthesize(MODEL, fitted(file), seeds=[1, 2], styles=styles, image_format="raw")
            for client in (shipped_client, shipped_by_triton)
        )
        assert ours.model_version == theirs.model_version
        for one, other in zip(ours.images, theirs.images, strict=True):
            assert_same(one, other)


def test_the_codes_that_triton_reads_give_the_image_back(shipped_by_triton: Client) -> None:
    file = LABEL_MAPS[0]
    (image,) = shipped_by_triton.synthesize("faces64", fitted(file), seed=0).images
    codes = shipped_by_triton.encode_styles(MODEL, image.to_numpy(), fitted(file))
    (again,) = shipped_by_triton.synthesize(MODEL, fitted(file), seed=9, styles=codes).images
    error = np.square(image.to_numpy().astype(float) - again.to_numpy()).mean()
    assert 10 * np.log10(255**2 / error) > 20


def test_morphs(shipped_client: Client, shipped_by_triton: Client, shipped_triton: TritonProcess) -> None:
    file = LABEL_MAPS[1]
    codes = codes_of(shipped_client, shipped_client, file)
    start: dict[int, Style] = {HAIR: codes[HAIR]}
    end: dict[int, Style] = {HAIR: Seed(3), SKIN: Seed(4)}
    before = shipped_triton.count("faces64_styles_decoder", "inference_count")
    ours, theirs = (
        [
            frame.image
            for frame in client.morph(
                MODEL, fitted(file), start, end, number_of_frames=6, path="spherical", seed=9
            )
        ]
        for client in (shipped_client, shipped_by_triton)
    )
    shipped_triton.wait_for_count("faces64_styles_decoder", "inference_count", before + 6)
    assert len(ours) == len(theirs) == 6
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)
    for frame, styles in ((theirs[0], start), (theirs[-1], end)):
        (alone,) = shipped_by_triton.synthesize(MODEL, fitted(file), seed=9, styles=styles).images
        assert_same(frame, alone)
