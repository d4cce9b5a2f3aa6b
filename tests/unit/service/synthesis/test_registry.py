"""The models on offer, as read from what the engine says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from service.codecs.image import ImageFormat, encode_image
from service.codecs.provenance import DigitalSourceType
from service.core.diagnostics import RepositoryError
from service.engine.base import ANY_SIZE, ModelInfo, TensorSpec
from service.synthesis.marking import XMP_ONLY
from service.synthesis.registry.models import ConditionKind, Layout, precedence
from service.synthesis.registry.registry import build_registry
from tests.support.fake_engine import (
    ENSEMBLE,
    FLOAT32,
    OTHER_CONDITIONS,
    PALETTE,
    PROXY_MASK,
    SCRIBBLE,
    SKETCH,
    STYLED,
    with_parameters,
)


def registry_of(*infos: ModelInfo) -> list[str]:
    return list(build_registry({info.name: info for info in infos}))


def problems_of(*infos: ModelInfo) -> list[str]:
    with pytest.raises(RepositoryError) as caught:
        registry_of(*infos)
    return [str(problem) for problem in caught.value.problems]


def test_everything_comes_from_parameters_and_tensors() -> None:
    model = build_registry({"tiny_label_map": ENSEMBLE})["tiny"]
    assert (model.name, model.title, model.description, model.version) == (
        "tiny",
        "Tiny",
        "Four pixels.",
        "1.0.0",
    )
    assert (model.image_width, model.image_height, model.latent_size, model.latent_scale) == (2, 2, 3, 0.5)
    support = model.conditions[ConditionKind.LABEL_MAP]
    assert (support.served_by, support.width, support.height) == ("tiny_label_map", 2, 2)
    strength = support.style_strength
    assert strength is not None
    assert (strength.default, strength.min, strength.max) == (0.25, 0.0, 0.9)
    assert [(entry.id, entry.name, entry.title) for entry in model.palette] == [
        (0, "background", "background"),
        (4, "hair", "hair"),
    ]


def test_range_of_style_strength_holds_its_ends_as_they_come_over_the_wire() -> None:
    strength = build_registry({"t": ENSEMBLE})["tiny"].conditions[ConditionKind.LABEL_MAP].style_strength
    assert strength is not None
    assert float(np.float32(0.9)) in strength
    assert 0.0 in strength
    assert 0.91 not in strength
    assert np.nan not in strength  # noqa: PLW0177 - no comparison


def test_models_without_a_pack_are_not_offered_and_names_are_in_order() -> None:
    stage = with_parameters(replace(ENSEMBLE, name="stage"), pack=None)
    other = with_parameters(replace(ENSEMBLE, name="other"), pack="a_pack")
    assert registry_of(ENSEMBLE, stage, other) == ["a_pack", "tiny"]


def test_nothing_to_offer() -> None:
    (found,) = problems_of(with_parameters(pack=None))
    assert found.startswith('*/config.pbtxt: parameters["maskweave.pack"]: missing; allowed: at least one')


@pytest.mark.parametrize(
    ("parameter", "value", "problem"),
    [
        ("pack", "Not A Name", "got 'Not A Name'"),
        ("condition", "hologram", "got 'hologram'"),
        ("condition", None, "missing"),
        ("title", "", "got ''"),
        ("palette", None, "missing"),
        ("palette", "not json", "got 'not json'"),
        ("palette", "[]", "at least one class is needed"),
        (
            "palette",
            json.dumps([*PALETTE, {**PALETTE[0], "name": "x", "color": "#010101"}]),
            "each id may occur once",
        ),
        ("palette", json.dumps([{**PALETTE[0], "id": 256}]), "got 256"),
        ("palette", json.dumps([{**PALETTE[0], "color": "red"}]), "got 'red'"),
        ("palette", json.dumps([{**PALETTE[0], "colour": "#000000"}]), "[colour]"),
        ("latent_scale", "0", "got '0'"),
        ("latent_scale", "wide", "got 'wide'"),
        ("latent_scale", "inf", "got 'inf'"),
        ("style_strength", '{"default": 2, "min": 0, "max": 1}', "min <= default <= max"),
        ("style_strength", '{"default": 0, "min": 0}', "missing"),
        ("model_version", "1.0", "got '1.0'"),
    ],
)
def test_wrong_parameters(parameter: str, value: str | None, problem: str) -> None:
    (found,) = problems_of(with_parameters(ENSEMBLE, **{parameter: value}))
    assert found.startswith(f'tiny_label_map/config.pbtxt: parameters["maskweave.{parameter}"]')
    assert problem in found


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"inputs": ENSEMBLE.inputs[1:]}, "input[LABEL_MAP]: missing"),
        (
            {"inputs": (TensorSpec("LABEL_MAP", FLOAT32, (2, 2)), *ENSEMBLE.inputs[1:])},
            "input[LABEL_MAP]: got float32, dims [2, 2]; allowed: uint8, dims [height, width], all fixed",
        ),
        (
            {"inputs": (ENSEMBLE.inputs[0], TensorSpec("LATENT", FLOAT32, (ANY_SIZE,)), ENSEMBLE.inputs[2])},
            "input[LATENT]: got float32, dims [-1]; allowed: float32, dims [latent_size], all fixed",
        ),
        (
            {"outputs": (TensorSpec("IMAGE", np.dtype(np.uint8), (2, 2, 4)),)},
            "output[IMAGE]: got uint8, dims [2, 2, 4]; allowed: uint8, dims [height, width, 3], all fixed",
        ),
        (
            {"outputs": (TensorSpec("IMAGE", np.dtype(np.uint8), (2, 2)),)},
            "output[IMAGE]: got uint8, dims [2, 2]",
        ),
        ({"max_batch_size": 0}, "max_batch_size: got 0; allowed: at least 1"),
    ],
    ids=["missing", "dtype", "any_size", "channels", "rank", "batch"],
)
def test_wrong_tensors(changed: dict[str, object], problem: str) -> None:
    (found,) = problems_of(replace(ENSEMBLE, **changed))  # type: ignore[arg-type]
    assert f"tiny_label_map/config.pbtxt: {problem}" in found


def test_all_problems_of_all_ensembles_are_told() -> None:
    other = with_parameters(replace(ENSEMBLE, name="other"), pack="other", title="", latent_scale="-1")
    found = problems_of(with_parameters(model_version="new"), other)
    assert [problem.partition(":")[0] for problem in found] == [
        "tiny_label_map/config.pbtxt",
        "other/config.pbtxt",
        "other/config.pbtxt",
    ]


def test_two_ensembles_for_one_condition() -> None:
    (found,) = problems_of(ENSEMBLE, replace(ENSEMBLE, name="again"))
    assert "'label_map', which tiny_label_map serves already" in found


def test_every_kind_of_condition_of_a_pack_is_one_model() -> None:
    infos = (ENSEMBLE, *OTHER_CONDITIONS)
    for order in (infos, infos[::-1]):
        model = build_registry({info.name: info for info in order})["tiny"]
        assert list(model.conditions) == list(ConditionKind)
        assert {kind: support.served_by for kind, support in model.conditions.items()} == {
            kind: f"tiny_{kind.value}" for kind in ConditionKind
        }
        assert {kind for kind, support in model.conditions.items() if support.style_strength is None} == {
            ConditionKind.PROXY_MASK,
            ConditionKind.EXEMPLAR,
        }
        assert {kind: support.proxy_clusters for kind, support in model.conditions.items()} == {
            kind: 5 if kind is ConditionKind.PROXY_MASK else 0 for kind in ConditionKind
        }
        mask = model.conditions[ConditionKind.PROXY_MASK]
        assert (mask.width, mask.height) == (3, 2)


def test_a_pack_may_do_without_label_maps() -> None:
    assert list(build_registry({SKETCH.name: SKETCH})["tiny"].conditions) == [ConditionKind.SKETCH]


@pytest.mark.parametrize(
    ("info", "changed", "problem"),
    [
        (SKETCH, {"style_strength": None}, 'parameters["maskweave.style_strength"]: missing'),
        (SKETCH, {"title": "Other"}, 'parameters["maskweave.*"]: differ from those of tiny_label_map'),
        (PROXY_MASK, {"proxy_clusters": None}, 'parameters["maskweave.proxy_clusters"]: missing'),
        (PROXY_MASK, {"proxy_clusters": "257"}, "parameters[\"maskweave.proxy_clusters\"]: got '257'"),
        (
            SKETCH,
            {"condition": "exemplar"},
            "input[PICTURE]: missing; allowed: uint8, dims [height, width, 3]",
        ),
        (
            SCRIBBLE,
            {"palette": json.dumps([{**PALETTE[0], "id": 255}])},
            'parameters["maskweave.palette"]: has the id 255',
        ),
        (
            STYLED,
            {"condition": "sketch"},
            "parameters[\"maskweave.condition\"]: got 'sketch'; allowed: 'label_map' for the",
        ),
    ],
)
def test_wrong_conditions(info: ModelInfo, changed: dict[str, str | None], problem: str) -> None:
    found = problems_of(ENSEMBLE, with_parameters(info, **changed))
    assert found[0].startswith(f"{info.name}/config.pbtxt: {problem}")


FUSED = replace(ENSEMBLE, name="tiny_label_map_fused", steps=())


@pytest.mark.parametrize(
    ("layout", "present", "served_by"),
    [
        (None, (ENSEMBLE, FUSED), "tiny_label_map"),
        (None, (FUSED, ENSEMBLE), "tiny_label_map"),
        (None, (FUSED,), "tiny_label_map_fused"),
        (Layout.ENSEMBLE, (ENSEMBLE, FUSED), "tiny_label_map"),
        (Layout.FUSED, (ENSEMBLE, FUSED), "tiny_label_map_fused"),
    ],
)
def test_the_layout_asked_for_is_served(
    layout: Layout | None, present: tuple[ModelInfo, ...], served_by: str
) -> None:
    model = build_registry({info.name: info for info in present}, layout)["tiny"]
    support = model.conditions[ConditionKind.LABEL_MAP]
    assert support.served_by == served_by
    assert support.layout is (Layout.FUSED if served_by.endswith("fused") else Layout.ENSEMBLE)


def test_every_pack_without_the_layout_asked_for_is_named() -> None:
    other = with_parameters(replace(ENSEMBLE, name="other"), pack="other")
    models = {info.name: info for info in (ENSEMBLE, other)}
    with pytest.raises(RepositoryError) as caught:
        build_registry(models, Layout.FUSED)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{info.name}/config.pbtxt: the setting layout asks for 'fused', which {pack} has not for "
        "'label_map'; allowed: ensemble, or `maskweave export repository --layout fused`"
        for info, pack in ((ENSEMBLE, "tiny"), (other, "other"))
    ]


def test_layouts_that_are_not_served_must_be_sound_all_the_same() -> None:
    broken = with_parameters(FUSED, palette="[]")
    with pytest.raises(RepositoryError, match=r"tiny_label_map_fused/config\.pbtxt"):
        build_registry({info.name: info for info in (ENSEMBLE, broken)}, Layout.ENSEMBLE)


def test_versions_are_ordered_as_semantic_versions() -> None:
    ordered = [
        "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11",
        "1.0.0-rc.1", "1.0.0", "1.0.0+build", "1.2.0", "1.10.0", "10.0.0",
    ]  # fmt: skip
    assert sorted(set(ordered), key=precedence) == ordered


def other_version(version: str) -> ModelInfo:
    told = with_parameters(ENSEMBLE, model_version=version)
    return replace(told, name=f"tiny_v{version}")


def test_versions_of_a_pack_stand_beside_one_another() -> None:
    infos = {info.name: info for info in (other_version("2.0.0"), ENSEMBLE, other_version("1.10.0"))}
    model = build_registry(infos)["tiny"]
    assert [each.version for each in model.all_versions] == ["2.0.0", "1.10.0", "1.0.0"]
    assert model.version == "2.0.0"
    held = build_registry(infos, None, {"tiny": "1.10.0"})["tiny"]
    assert held.version == "1.10.0"
    assert list(held.other_versions) == ["2.0.0", "1.0.0"]
    assert not held.other_versions["2.0.0"].other_versions


def test_a_version_may_not_be_there_twice_and_a_default_must_be_there() -> None:
    twice = replace(ENSEMBLE, name="another")
    assert "serves already" in problems_of(ENSEMBLE, twice)[0]
    with pytest.raises(RepositoryError, match=r"tiny=3\.0\.0, which is not there"):
        build_registry({"t": ENSEMBLE}, None, {"tiny": "3.0.0"})


@pytest.mark.parametrize(
    ("parameter", "longest", "longer"),
    [
        ("pack", "x" * 128, "x" * 129),
        ("title", "é" * 256, "é" * 257),
        ("description", "d" * 4096, "d" * 70_000),
        ("model_version", "1.0.0-" + "a" * 122, "1.0.0-" + "a" * 123),
        *(
            ("palette", *(json.dumps([{"id": 0, "color": "#000000", **each}]) for each in pair))
            for pair in (
                ({"name": "n" * 64}, {"name": "n" * 65}),
                ({"name": "n", "title": "t" * 64}, {"name": "n", "title": "t" * 65}),
            )
        ),
    ],
    ids=["pack", "title", "description", "version", "class", "title of a class"],
)
def test_names_that_fit_nowhere_are_refused_at_the_start(parameter: str, longest: str, longer: str) -> None:
    """They are put into image files, messages and answers; a request would find that out one by one."""
    (model,) = build_registry({"m": with_parameters(ENSEMBLE, **{parameter: longest})}).values()
    for image_format in (ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP):
        pixels = np.zeros((2, 2, 3), np.uint8)
        file = encode_image(pixels, image_format, None)
        assert XMP_ONLY.mark(file, image_format, DigitalSourceType.TRAINED, model).marked
    problem, *_ = problems_of(with_parameters(ENSEMBLE, **{parameter: longer}))
    assert f'parameters["maskweave.{parameter}"]' in problem
    assert "at most" in problem
    assert len(problem) < 600
