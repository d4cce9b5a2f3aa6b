"""Every kind of condition through a real Triton: the same images as the embedded engine makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from maskweave_client import Client, InvalidRequest, Scribble, Stroke
from tests.e2e.triton.support import triton_backed
from tests.support.faces64_conditions import write_conditions
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import gateway_process
from tests.support.model_repository import RepositoryWriter
from tests.support.triton_process import TritonProcess, triton_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SKETCH = Image.new("L", (300, 200), 255)
ImageDraw.Draw(SKETCH).ellipse((40, 30, 260, 170), outline=0, width=9)
CONDITIONS: dict[str, dict[str, Any]] = {
    "label_map": {"label_map": np.arange(64, dtype=np.uint8).reshape(8, 8) % 8},
    "sketch": {"sketch": SKETCH},
    "scribble": {"scribble": Scribble([Stroke(6, [(10, 20), (50, 44)], width=9)])},
    "proxy_mask": {"proxy_mask": np.arange(32 * 32).reshape(32, 32) % 26},
    "exemplar": {"exemplar": SKETCH.convert("RGB")},
}


@pytest.fixture(scope="module")
def own_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("conditions_on_triton")
    writer = RepositoryWriter(root)
    write_faces64(writer)
    write_conditions(writer)
    return root


@pytest.fixture(scope="module")
def own_triton(own_repository: Path) -> Iterator[TritonProcess]:
    with triton_process(own_repository) as running:
        yield running


@pytest.fixture(scope="module")
def by_triton(own_triton: TritonProcess) -> Iterator[Client]:
    with triton_backed(own_triton) as gateway, Client(gateway.address) as client:
        yield client


@pytest.fixture(scope="module")
def embedded(own_repository: Path) -> Iterator[Client]:
    with gateway_process(own_repository) as gateway, Client(gateway.address) as client:
        yield client


def test_the_model_is_the_same(embedded: Client, by_triton: Client) -> None:
    model = by_triton.model("faces64")
    assert model == embedded.model("faces64")
    assert [condition.kind for condition in model.conditions] == list(CONDITIONS)


@pytest.mark.parametrize("kind", CONDITIONS)
def test_images_are_the_same(
    embedded: Client, by_triton: Client, own_triton: TritonProcess, kind: str
) -> None:
    before = own_triton.count(f"faces64_{kind}", "inference_count")
    ours, theirs = (
        client.synthesize("faces64", seed=5, number_of_images=3, **CONDITIONS[kind])
        for client in (embedded, by_triton)
    )
    assert [image.data for image in ours.images] == [image.data for image in theirs.images]
    streamed = by_triton.synthesize_stream("faces64", seed=5, number_of_images=3, **CONDITIONS[kind])
    assert {each.index: each.image for each in streamed} == dict(enumerate(theirs.images))
    own_triton.wait_for_count(f"faces64_{kind}", "inference_count", before + 6)


def test_every_kind_was_warmed_up_by_the_gateway(by_triton: Client, own_triton: TritonProcess) -> None:
    for kind in CONDITIONS:
        assert own_triton.count(f"faces64_{kind}", "inference_count") >= 1


def test_all_kinds_share_a_seed_s_head(by_triton: Client, own_triton: TritonProcess) -> None:
    head = "faces64_generator_head"
    hits, runs = (
        own_triton.metric("nv_cache_num_hits_per_model", head),
        own_triton.count(head, "execution_count"),
    )
    for condition in CONDITIONS.values():
        by_triton.synthesize("faces64", seed=4242, **condition)
    own_triton.wait_for_count(head, "execution_count", runs + 1)
    assert own_triton.metric("nv_cache_num_hits_per_model", head) - hits == len(CONDITIONS) - 1


def test_bad_input_never_reaches_triton(by_triton: Client, own_triton: TritonProcess) -> None:
    before = own_triton.count("faces64_proxy_mask", "inference_count")
    with pytest.raises(InvalidRequest, match="cluster id 26 at pixel"):
        by_triton.synthesize("faces64", proxy_mask=np.full((32, 32), 26))
    with pytest.raises(InvalidRequest, match="a blank sketch"):
        by_triton.synthesize("faces64", sketch=np.full((9, 9), 255, np.uint8))
    assert own_triton.count("faces64_proxy_mask", "inference_count") == before


@pytest.mark.parametrize("kind", ["sketch", "scribble"])
def test_paintings_are_the_same(embedded: Client, by_triton: Client, kind: str) -> None:
    empty: dict[str, Any] = {kind: np.full((64, 64), 255, np.uint8)}
    frames = []
    for client in (embedded, by_triton):
        with client.paint("faces64", seed=5, **empty) as session:
            assert next(session).problem == "empty"
            session.stroke(0 if kind == "sketch" else 6, [(10, 20), (50, 44)], width=9)
            frames.append(next(session).image.data)
            session.finish()
    assert frames[0] == frames[1]
