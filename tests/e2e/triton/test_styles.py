"""Styles through a real Triton: the same codes and the same images as the embedded engine gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, Seed, Style, blend
from tests.e2e.triton.support import triton_backed
from tests.support.dolls_images import HERS, HIS, seen
from tests.support.dolls_pack import EYES, HAIR, LABEL_MAP, SKIN, write_dolls
from tests.support.gateway_process import gateway_process
from tests.support.model_repository import RepositoryWriter
from tests.support.small_pack import VERSION
from tests.support.triton_process import TritonProcess, triton_process
from tests.support.versions import add_version

OLDER, OLDER_MODEL = "1.0.0", "dolls_label_map_v1_0_0"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dolls_on_triton")
    write_dolls(RepositoryWriter(root))
    older = tmp_path_factory.mktemp("older")
    add_version(root, write_one, older / "dolls", OLDER)
    return root


def write_one(root: Path) -> None:
    """Of the two packs the quick one."""
    write_dolls(RepositoryWriter(root))
    for model in root.glob("slow_*"):
        shutil.rmtree(model)


@pytest.fixture(scope="module")
def dolls_triton(repository: Path) -> Iterator[TritonProcess]:
    with triton_process(repository) as running:
        yield running


@pytest.fixture(scope="module")
def by_triton(dolls_triton: TritonProcess) -> Iterator[Client]:
    # Named, so that the encoder and the prior are found although nobody names them.
    with (
        triton_backed(dolls_triton, triton_models=f"dolls_label_map,{OLDER_MODEL}") as gateway,
        Client(gateway.address) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def embedded(repository: Path) -> Iterator[Client]:
    with gateway_process(repository) as gateway, Client(gateway.address) as client:
        yield client


def test_the_model_is_the_same(embedded: Client, by_triton: Client) -> None:
    assert by_triton.model("dolls") == embedded.model("dolls")


@pytest.mark.parametrize("sample_seed", [None, 5])
def test_codes_are_the_same(embedded: Client, by_triton: Client, sample_seed: int | None) -> None:
    ours, theirs = (
        client.encode_styles("dolls", HERS, LABEL_MAP, sample_seed=sample_seed)
        for client in (embedded, by_triton)
    )
    assert ours.keys() == theirs.keys()
    for class_id, code in ours.items():
        np.testing.assert_allclose(code.values, theirs[class_id].values, atol=1e-6)


def test_images_are_the_same(embedded: Client, by_triton: Client) -> None:
    hers, his = (embedded.encode_styles("dolls", image, LABEL_MAP) for image in (HERS, HIS))
    styles: dict[int, Style] = {HAIR: blend((hers[HAIR], 0.5), (his[HAIR], 0.5)), EYES: Seed(3)}
    ours, theirs = (
        client.synthesize("dolls", LABEL_MAP, seeds=[1, 2], styles=styles) for client in (embedded, by_triton)
    )
    assert [image.data for image in ours.images] == [image.data for image in theirs.images]
    assert seen(theirs.images[0], HAIR) == (120, 70, 40)


def test_morphs_are_the_same(embedded: Client, by_triton: Client, dolls_triton: TritonProcess) -> None:
    codes = embedded.encode_styles("dolls", HERS, LABEL_MAP)
    before = dolls_triton.count("dolls_decoder", "inference_count")
    ours, theirs = (
        list(
            client.morph(
                "dolls",
                LABEL_MAP,
                {HAIR: codes[HAIR]},
                {HAIR: Seed(4), SKIN: Seed(5)},
                number_of_frames=4,
                first_position=-0.5,
                last_position=1.5,
                path="spherical",
                seed=2,
            )
        )
        for client in (embedded, by_triton)
    )
    assert [frame.image.data for frame in ours] == [frame.image.data for frame in theirs]
    assert [frame.index for frame in theirs] == [0, 1, 2, 3]
    dolls_triton.wait_for_count("dolls_decoder", "inference_count", before + 4)


def test_paintings_are_the_same(embedded: Client, by_triton: Client) -> None:
    paintings = []
    for client in (embedded, by_triton):
        with client.paint("dolls", LABEL_MAP, seed=2, styles={HAIR: Seed(4)}) as session:
            frames = [next(session).image.data]
            session.update(styles={SKIN: Seed(5)})
            session.finish()
            frames.append(next(session).image.data)
        paintings.append(frames)
    assert paintings[0] == paintings[1]
    assert paintings[0][0] != paintings[0][1]


def test_an_older_version_is_served_beside(
    embedded: Client, by_triton: Client, dolls_triton: TritonProcess
) -> None:
    before = dolls_triton.count(OLDER_MODEL, "inference_count")
    for client in (embedded, by_triton):
        assert client.model("dolls").available_versions == (VERSION, OLDER)
    ours, theirs, default = (
        client.synthesize("dolls", LABEL_MAP, seed=1, styles={EYES: Seed(3)}, model_version=version)
        for client, version in ((embedded, OLDER), (by_triton, OLDER), (by_triton, ""))
    )
    assert (theirs.model_version, default.model_version) == (OLDER, VERSION)
    assert ours.images[0].data == theirs.images[0].data != default.images[0].data
    dolls_triton.wait_for_count(OLDER_MODEL, "inference_count", before + 1)
