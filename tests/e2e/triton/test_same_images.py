"""The shipped repository, served by both engines: every method gives the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskweave_client import Client, Frame
from tests.support.shipped import KINDS, LABEL_MAPS, assert_same, condition, opened, samples
from tests.support.triton_process import TritonProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_models(shipped_client: Client, shipped_by_triton: Client) -> None:
    assert shipped_by_triton.models() == shipped_client.models()
    for name in ("avatars128_styles", "faces64", "faces64_styles"):
        assert shipped_by_triton.model(name) == shipped_client.model(name)


@pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)
def test_synthesize(shipped_client: Client, shipped_by_triton: Client, file: Path) -> None:
    label_map = opened(file)
    for strength in (0.0, None, 1.0):
        ours, theirs = (
            client.synthesize("faces64", label_map, seed=11, style_strength=strength, image_format="raw")
            for client in (shipped_client, shipped_by_triton)
        )
        assert ours.model_version == theirs.model_version
        assert_same(ours.images[0], theirs.images[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_condition(shipped_client: Client, shipped_by_triton: Client, kind: str) -> None:
    for file in samples(kind):
        ours, theirs = (
            client.synthesize("faces64", seeds=[5, 6], image_format="raw", **condition(kind, file))
            for client in (shipped_client, shipped_by_triton)
        )
        for one, other in zip(ours.images, theirs.images, strict=True):
            assert_same(one, other)


def test_synthesize_many_at_once_in_batches(shipped_client: Client, shipped_by_triton: Client) -> None:
    label_map = opened(LABEL_MAPS[0])
    ours, theirs = (
        client.synthesize("faces64", label_map, seed=0, number_of_images=16)
        for client in (shipped_client, shipped_by_triton)
    )
    assert len(ours.images) == len(theirs.images) == 16
    for one, other in zip(ours.images, theirs.images, strict=True):
        assert_same(one, other)


def test_synthesize_stream(shipped_client: Client, shipped_by_triton: Client) -> None:
    label_map = opened(LABEL_MAPS[1])
    ours, theirs = (
        {
            streamed.index: streamed.image
            for streamed in client.synthesize_stream("faces64", label_map, seeds=[5, 6, 7, 8])
        }
        for client in (shipped_client, shipped_by_triton)
    )
    assert ours.keys() == theirs.keys() == {0, 1, 2, 3}
    for index, image in ours.items():
        assert_same(image, theirs[index])


def test_paint(shipped_client: Client, shipped_by_triton: Client) -> None:
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

    ours, theirs = painted(shipped_client), painted(shipped_by_triton)
    assert [frame.sequence for frame in ours] == [frame.sequence for frame in theirs] == [0, 1, 2, 3]
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one.image, other.image)
    assert len({frame.image.data for frame in theirs}) == 4


def test_the_ensemble_and_its_steps_ran_in_triton(
    shipped_by_triton: Client, shipped_triton: TritonProcess
) -> None:
    steps = ("mapper_label_map", "target_reader", "rearranger", "generator_tail")
    models = ["faces64_label_map", *(f"faces64_{step}" for step in steps)]
    before = [shipped_triton.count(model, "inference_count") for model in models]
    result = shipped_by_triton.synthesize("faces64", opened(LABEL_MAPS[0]), seed=123)
    for model, count in zip(models, before, strict=True):
        shipped_triton.wait_for_count(model, "inference_count", count + 1)
    assert [stage.stage for stage in result.timings.stages] == ["faces64_label_map"]


def test_concurrent_calls_are_batched(shipped_by_triton: Client, shipped_triton: TritonProcess) -> None:
    model = "faces64_rearranger"
    inferences, executions = (
        shipped_triton.count(model, field) for field in ("inference_count", "execution_count")
    )
    shipped_by_triton.synthesize("faces64", opened(LABEL_MAPS[0]), seed=500, number_of_images=16)
    shipped_by_triton.synthesize("faces64", opened(LABEL_MAPS[1]), seed=600, number_of_images=16)
    shipped_triton.wait_for_count(model, "inference_count", inferences + 32)
    assert 32 / (shipped_triton.count(model, "execution_count") - executions) > 1


def test_a_repeated_seed_is_answered_by_the_response_cache(
    shipped_by_triton: Client, shipped_triton: TritonProcess
) -> None:
    head = "faces64_generator_head"
    hits = shipped_triton.metric("nv_cache_num_hits_per_model", head)
    runs = shipped_triton.count(head, "execution_count")
    images = [
        shipped_by_triton.synthesize("faces64", opened(file), seed=4242).images[0]
        for file in (LABEL_MAPS[0], LABEL_MAPS[1], LABEL_MAPS[0])
    ]
    shipped_triton.wait_for_count(head, "execution_count", runs + 1)
    assert shipped_triton.metric("nv_cache_num_hits_per_model", head) - hits == 2
    assert images[0].data == images[2].data != images[1].data


def test_every_stage_was_warmed_up_before_triton_was_ready(shipped_triton: TritonProcess) -> None:
    ready = shipped_triton.output.index("Started GRPCInferenceService")
    parts = ("generator_head", "mapper_label_map", "target_reader", "rearranger", "generator_tail")
    readers = ("sketch_reader", "scribble_completer", "proxy_segmenter")
    styles = ("styles_encoder", "styles_prior", "styles_decoder")
    for stage in (*parts, *readers, *styles):
        warm_up = f"instance faces64_{stage}_0_0 is running warmup sample 'zeros'"
        assert 0 < shipped_triton.output.find(warm_up) < ready, stage
