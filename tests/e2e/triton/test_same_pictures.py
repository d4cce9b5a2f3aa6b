"""The shipped repository, served by both engines: every method gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskweave_client import Client, Frame, Picture
from tests.e2e.triton.support import ROOT, triton_backed
from tests.support.gateway_process import gateway_process
from tests.support.triton_process import TritonProcess, triton_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LABEL_MAPS = sorted((ROOT / "client" / "examples" / "label_maps").glob("*.png"))
# What different ways of batching may do to the rounding of a pixel.
MAX_LEVELS = 1
MAX_SHARE = 0.001


@pytest.fixture(scope="module")
def shipped_triton() -> Iterator[TritonProcess]:
    with triton_process(ROOT / "model_repository", "--log-verbose=1") as running:
        yield running


@pytest.fixture(scope="module")
def by_triton(shipped_triton: TritonProcess) -> Iterator[Client]:
    with triton_backed(shipped_triton) as gateway, Client(gateway.address) as client:
        yield client


@pytest.fixture(scope="module")
def embedded() -> Iterator[Client]:
    with gateway_process(ROOT / "model_repository") as gateway, Client(gateway.address) as client:
        yield client


def opened(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        return np.asarray(image)


def assert_same(ours: Picture, theirs: Picture) -> None:
    """Bit for bit, or nearly."""
    assert (ours.width, ours.height, ours.seed, ours.format) == (
        theirs.width,
        theirs.height,
        theirs.seed,
        theirs.format,
    )
    apart = np.abs(ours.to_numpy().astype(int) - theirs.to_numpy().astype(int))
    assert apart.max() <= MAX_LEVELS
    assert (apart > 0).mean() <= MAX_SHARE


def test_models(embedded: Client, by_triton: Client) -> None:
    assert by_triton.models() == embedded.models()
    assert by_triton.model("faces64") == embedded.model("faces64")


@pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)
def test_synthesize(embedded: Client, by_triton: Client, file: Path) -> None:
    label_map = opened(file)
    for strength in (0.0, None, 1.0):
        ours, theirs = (
            client.synthesize("faces64", label_map, seed=11, style_strength=strength, image_format="raw")
            for client in (embedded, by_triton)
        )
        assert ours.model_version == theirs.model_version
        assert_same(ours.pictures[0], theirs.pictures[0])


def test_synthesize_many_at_once_in_batches(embedded: Client, by_triton: Client) -> None:
    label_map = opened(LABEL_MAPS[0])
    ours, theirs = (
        client.synthesize("faces64", label_map, seed=0, number_of_images=16)
        for client in (embedded, by_triton)
    )
    assert len(ours.pictures) == len(theirs.pictures) == 16
    for one, other in zip(ours.pictures, theirs.pictures, strict=True):
        assert_same(one, other)


def test_synthesize_stream(embedded: Client, by_triton: Client) -> None:
    label_map = opened(LABEL_MAPS[1])
    ours, theirs = (
        {
            streamed.index: streamed.picture
            for streamed in client.synthesize_stream("faces64", label_map, seeds=[5, 6, 7, 8])
        }
        for client in (embedded, by_triton)
    )
    assert ours.keys() == theirs.keys() == {0, 1, 2, 3}
    for index, picture in ours.items():
        assert_same(picture, theirs[index])


def test_paint(embedded: Client, by_triton: Client) -> None:
    label_map = opened(LABEL_MAPS[0])
    height, width = label_map.shape

    def painted(client: Client) -> list[Frame]:
        with client.paint("faces64", label_map, seed=11, image_format="raw") as session:
            frames = [next(session)]
            session.stroke(1, [(0, height / 8), (width, height / 8)], width=height / 6)
            frames.append(next(session))
            session.update(seed=12, style_strength=0.25)
            frames.append(next(session))
            session.update(label_map=opened(LABEL_MAPS[1]))
            session.finish()
            return [*frames, *session]

    ours, theirs = painted(embedded), painted(by_triton)
    assert [frame.sequence for frame in ours] == [frame.sequence for frame in theirs] == [0, 1, 2, 3]
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one.picture, other.picture)
    assert len({frame.picture.data for frame in theirs}) == 4


def test_the_ensemble_and_its_steps_ran_in_triton(by_triton: Client, shipped_triton: TritonProcess) -> None:
    models = ["faces64_label_map", "faces64_mapper_label_map", "faces64_rearranger", "faces64_generator_tail"]
    before = [shipped_triton.statistics(model)["inference_count"] for model in models]
    result = by_triton.synthesize("faces64", opened(LABEL_MAPS[0]), seed=123)
    after = [shipped_triton.statistics(model)["inference_count"] for model in models]
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 1, 1, 1]
    assert [stage.stage for stage in result.timings.stages] == ["faces64_label_map"]


def test_concurrent_calls_are_batched(by_triton: Client, shipped_triton: TritonProcess) -> None:
    def counts() -> tuple[int, int]:
        statistics = shipped_triton.statistics("faces64_rearranger")
        return statistics["inference_count"], statistics["execution_count"]

    inferences, executions = counts()
    by_triton.synthesize("faces64", opened(LABEL_MAPS[0]), seed=500, number_of_images=16)
    by_triton.synthesize("faces64", opened(LABEL_MAPS[1]), seed=600, number_of_images=16)
    now_inferences, now_executions = counts()
    assert now_inferences - inferences == 32
    assert (now_inferences - inferences) / (now_executions - executions) > 1


def test_a_repeated_seed_is_answered_by_the_response_cache(
    by_triton: Client, shipped_triton: TritonProcess
) -> None:
    head = "faces64_generator_head"
    hits = shipped_triton.metric("nv_cache_num_hits_per_model", head)
    runs = shipped_triton.statistics(head)["execution_count"]
    pictures = [
        by_triton.synthesize("faces64", opened(file), seed=4242).pictures[0]
        for file in (LABEL_MAPS[0], LABEL_MAPS[1], LABEL_MAPS[0])
    ]
    assert shipped_triton.statistics(head)["execution_count"] - runs == 1
    assert shipped_triton.metric("nv_cache_num_hits_per_model", head) - hits == 2
    assert pictures[0].data == pictures[2].data != pictures[1].data


def test_every_stage_was_warmed_up_before_triton_was_ready(shipped_triton: TritonProcess) -> None:
    ready = shipped_triton.output.index("Started GRPCInferenceService")
    for stage in ("generator_head", "mapper_label_map", "rearranger", "generator_tail"):
        warm_up = f"instance faces64_{stage}_0_0 is running warmup sample 'zeros'"
        assert 0 < shipped_triton.output.find(warm_up) < ready, stage
