"""Scenarios, what is drawn for them, and the messages that are sent."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench import inputs
from maskweave_bench.calls import parts_of, read_replies
from maskweave_bench.requests import Mix, prepare
from maskweave_bench.scenario import ScenarioError, builtin_scenarios, load_scenario, parse_scenario
from maskweave_bench.strokes import draw

FACES = ("background", "hair", "skin", "brows", "eyes", "nose", "mouth", "neck")


def model(name: str = "faces", classes: tuple[str, ...] = FACES) -> pb.Model:
    kinds = (
        pb.CONDITION_KIND_LABEL_MAP,
        pb.CONDITION_KIND_SKETCH,
        pb.CONDITION_KIND_SCRIBBLE,
        pb.CONDITION_KIND_PROXY_MASK,
        pb.CONDITION_KIND_EXEMPLAR,
    )
    found = pb.Model(
        name=name,
        version="1.0.0",
        palette=[
            pb.PaletteEntry(id=i, name=each, color=f"#{i:02x}{10 * i:02x}ff")
            for i, each in enumerate(classes)
        ],
        conditions=[pb.ConditionSupport(kind=kind, width=16, height=16, proxy_clusters=9) for kind in kinds],
        image_width=64,
        image_height=64,
        limits=pb.Limits(max_images=16, max_strokes=64, max_stroke_width=40),
        editing=pb.EditSupport(pictures=True),
    )
    found.styles.styles.add(class_ids=[1])
    return found


MODELS = {"faces": model()}


def mix(text: str) -> Mix:
    return prepare(parse_scenario(text, "test"), MODELS)


@pytest.mark.parametrize("name", builtin_scenarios())
def test_scenarios_that_come_along_are_read_and_prepared(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description
    for prepared in prepare(scenario, MODELS).prepared:
        assert prepared.templates
        if prepared.request:
            message = getattr(pb, prepared.request).FromString(prepared.message(3, 1000))
            start = message.start if prepared.request == "PaintRequest" else message
            assert start.WhichOneof("source" if prepared.request == "EditRequest" else "start") == "seed"


def test_new_seeds_are_never_the_same_and_repeated_ones_come_back() -> None:
    fresh = mix("requests: [{rpc: synthesize, images: 3}]").prepared[0]
    seeds = [pb.SynthesizeRequest.FromString(fresh.message(number, 2**32 - 5)).seed for number in range(100)]
    covered = {(seed + image) % 2**32 for seed in seeds for image in range(3)}
    assert len(covered) == 300
    again = mix("requests: [{rpc: synthesize, seeds: repeated, distinct_seeds: 4}]").prepared[0]
    assert {pb.SynthesizeRequest.FromString(again.message(n, 7)).seed for n in range(100)} == {7, 8, 9, 10}


def test_message_is_what_was_asked_for() -> None:
    prepared = mix(
        "requests: [{rpc: synthesize, encoding: raw, width: 40, height: 30, images: 2, image_format: webp, "
        "image_quality: 70, style_strength: 0.5, priority: batch}]"
    ).prepared[0]
    request = pb.SynthesizeRequest.FromString(prepared.message(0, 5))
    assert request.model == "faces"
    assert (request.label_map.raw.width, request.label_map.raw.height) == (40, 30)
    assert len(request.label_map.raw.data) == 1200
    assert set(request.label_map.raw.data) <= set(range(8))
    assert (request.number_of_images, request.image_quality, request.seed) == (2, 70, 5)
    assert request.image_format == pb.IMAGE_FORMAT_WEBP
    assert request.priority == pb.PRIORITY_BATCH
    assert request.style_strength == 0.5


def test_painting_is_a_start_and_numbered_updates_in_time() -> None:
    prepared = mix("requests: [{rpc: paint, session_seconds: 6, seeds: repeated}]").prepared[0]
    start = pb.PaintRequest.FromString(prepared.message(0, 9)).start
    assert start.seed == 9
    assert start.label_map.png
    for session in prepared.sessions:
        assert [update.sequence for update in session] == list(range(1, len(session) + 1))
        assert all(0 < one.due <= other.due < 6 for one, other in itertools.pairwise(session))
        for update in session:
            message = pb.PaintRequest.FromString(update.message).update
            assert message.sequence == update.sequence
            assert 1 <= message.strokes.strokes[0].width <= 40


def test_mix_has_its_weights_and_is_the_same_every_time() -> None:
    text = "requests: [{name: a, weight: 3}, {name: b, weight: 1}]"
    one, other = mix(text), mix(text)
    assert [one.kind(number) for number in range(5000)] == [other.kind(number) for number in range(5000)]
    assert sum(one.kind(number) == 0 for number in range(4096)) / 4096 == pytest.approx(0.75, abs=0.03)


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"whatever")
    (tmp_path / "scenario.yaml").write_text("requests: [{inputs: [mine.png]}]")
    prepared = prepare(load_scenario(str(tmp_path / "scenario.yaml")), MODELS).prepared[0]
    assert pb.SynthesizeRequest.FromString(prepared.message(0, 0)).label_map.png == b"whatever"
    (tmp_path / "mine.png").unlink()
    with pytest.raises(ScenarioError, match="cannot be read"):
        prepare(load_scenario(str(tmp_path / "scenario.yaml")), MODELS)


def test_scenario_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text('name = "mine"\n[[requests]]\nrpc = "edit"\n')
    assert load_scenario(str(file)).requests[0].rpc == "edit"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "scenario: Input should be"),
        ("{", "is neither YAML nor a scenario"),
        ("requests: []", "requests: Tuple should have at least 1 item"),
        ("requests: [{rpc: draw}]", "requests.0.rpc: Input should be 'synthesize'"),
        ("requests: [{weight: 0}]", "requests.0.weight: Input should be greater than 0"),
        ("requests: [{colour: red}]", "requests.0.colour: Extra inputs are not permitted"),
        ("requests: [{encoding: jpeg}]", "encoding of a label_map: got jpeg; allowed: png, raw, run_length"),
        ("requests: [{image_quality: 5}]", "image_quality: got 5 for png; allowed: for jpeg, webp"),
        ("requests: [{}, {}]", "got two that are called 'synthesize label_map'"),
        ("a: &a [*a]", "requests: Field required"),
    ],
)
def test_scenario_that_is_wrong_says_which_field(text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "mine.yaml")
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "nothing.yaml", "/dev/null/nothing.yaml"])
def test_scenario_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ScenarioError, match="nothing"):
        load_scenario(name)


def test_models_that_cannot_are_told_from_those_that_can() -> None:
    plain = pb.Model(
        name="plain",
        palette=[pb.PaletteEntry(id=0, name="a", color="#000000")],
        image_width=8,
        image_height=8,
    )
    scenario = parse_scenario("requests: [{}]", "test")
    with pytest.raises(ScenarioError, match="plain takes no label_map"):
        prepare(scenario, {"plain": plain})
    chosen = prepare(scenario, {"plain": plain, "faces": model()}).prepared[0]
    assert pb.SynthesizeRequest.FromString(chosen.message(0, 0)).model == "faces"
    with pytest.raises(ScenarioError, match="'cats', which the service does not have; allowed: faces"):
        prepare(parse_scenario("model: cats\nrequests: [{}]", "test"), MODELS)
    with pytest.raises(ScenarioError, match="at most 16 images"):
        prepare(parse_scenario("requests: [{images: 17}]", "test"), MODELS)


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.floats(0, 1),
    st.integers(0, 100),
    st.sampled_from([FACES, ("a",), ("sky", "sea", "land")]),
)
def test_label_maps_have_the_models_classes_alone(
    width: int, height: int, detail: float, seed: int, names: tuple[str, ...]
) -> None:
    classes = {name: 3 + number for number, name in enumerate(names)}
    ids = inputs.label_map(np.random.default_rng(seed), classes, width, height, detail=detail)
    assert ids.shape == (height, width)
    assert set(np.unique(ids).tolist()) <= set(classes.values())
    class_ids, lengths = inputs.runs(ids)
    np.testing.assert_array_equal(np.repeat(class_ids, lengths), ids.ravel())
    decoded = np.asarray(Image.open(io.BytesIO(inputs.encode_ids(ids, {3: (1, 2, 3)}))))
    np.testing.assert_array_equal(decoded, ids)
    lines = inputs.sketch(ids)
    assert lines.min() == 0
    scribble = inputs.scribble(np.random.default_rng(seed), ids)
    assert set(np.unique(scribble[scribble != inputs.UNDRAWN]).tolist()) <= set(classes.values())


def test_a_face_has_all_its_classes_and_ragged_ones_are_larger_files() -> None:
    classes = {name: number for number, name in enumerate(FACES)}
    smooth, ragged = (
        inputs.label_map(np.random.default_rng(1), classes, 256, 256, detail=detail) for detail in (0.0, 0.8)
    )
    assert set(np.unique(smooth).tolist()) == set(range(8))
    assert len(inputs.encode_ids(ragged, {})) > 3 * len(inputs.encode_ids(smooth, {}))


def test_hands_speed_up_and_slow_down_and_pause() -> None:
    pieces = draw(
        np.random.default_rng(4), seconds=30, updates_per_second=30, width=256, height=256, classes=8
    )
    strokes: list[list[int]] = [[0]]
    for number in range(1, len(pieces)):
        joined = np.array_equal(pieces[number].points[0], pieces[number - 1].points[-1])
        if joined:
            strokes[-1].append(number)
        else:
            strokes.append([number])
    assert len(strokes) > 10
    for stroke in strokes[:-1]:  # the last is cut off
        lengths = [np.linalg.norm(np.diff(pieces[number].points, axis=0), axis=1).sum() for number in stroke]
        if len(lengths) >= 9:
            third = len(lengths) // 3
            assert sum(lengths[third:-third]) > sum(lengths[:third])
            assert sum(lengths[third:-third]) > sum(lengths[-third:])
    pauses = [pieces[after[0]].due - pieces[before[-1]].due for before, after in itertools.pairwise(strokes)]
    assert min(pauses) > 0.05
    assert max(pauses) > 0.4
    assert all(0 <= piece.class_index < 8 for piece in pieces)


def test_replies_are_read_for_images_and_timings() -> None:
    timings = pb.Timings()
    timings.total.FromMilliseconds(50)
    for image in range(2):
        run = timings.stages.add(stage="head", image_index=image)
        run.compute.FromMilliseconds(10)
        run.queue.FromMilliseconds(3)
    assert parts_of(timings)["stage head"] == pytest.approx(0.02)
    reply = pb.SynthesizeResponse(images=[pb.Image(), pb.Image()], timings=timings).SerializeToString()
    parts, images = read_replies("SynthesizeResponse", [reply])
    assert images == 2
    assert parts["total"] == pytest.approx(0.05)
    each = pb.SynthesizeStreamResponse(image=pb.Image(), timings=timings).SerializeToString()
    assert read_replies("SynthesizeStreamResponse", [each, each])[1] == 2
    assert read_replies("ListModelsResponse", [pb.ListModelsResponse().SerializeToString()]) == ({}, 0)
    assert read_replies("MorphResponse", []) == ({}, 0)
