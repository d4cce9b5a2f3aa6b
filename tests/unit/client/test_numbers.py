"""NumPy's numbers are taken wherever Python's are, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskweave_client import Blend, Scribble, Seed, Stroke, StyleCode
from maskweave_client._conditions import Conditions
from maskweave_client._edit_requests import edit_request
from maskweave_client._paint_requests import paint_update
from maskweave_client._strokes import stroke_to_proto
from maskweave_client._style_requests import encode_styles_request, morph_request
from maskweave_client._styles import code_to_proto, styles_to_proto
from maskweave_client._synthesis_requests import synthesize_request

LABEL_MAP = np.zeros((2, 2), np.uint8)
RGB = np.zeros((2, 2, 3), np.uint8)
INTEGERS = [int, np.int64, np.uint8, np.int16, np.uint64]
FLOATS = [float, np.float64, np.float32, np.float16, int, np.int64]
CODE = StyleCode("m", "1", 1, (0.5,))


def synthesize(**changed: Any) -> Any:
    names = ("seed", "seeds", "latents", "number_of_images", "style_strength", "quality")
    rest = {"image_format": "png", "priority": "interactive", **dict.fromkeys(names), **changed}
    condition = rest.pop("scribble", None)
    given = Conditions(LABEL_MAP) if condition is None else Conditions(scribble=condition)
    return synthesize_request("m", given, **rest)


def edit(**changed: Any) -> Any:
    names = ("source", "latent", "style_strength", "blend_width", "quality")
    rest = {"image_format": "png", "priority": "interactive", **dict.fromkeys(names), **changed}
    return edit_request("m", rest.pop("image_or_seed", None), LABEL_MAP, **rest)


def morph(**changed: Any) -> Any:
    rest: dict[str, Any] = {
        "number_of_frames": 1,
        "first_position": 0.0,
        "last_position": 1.0,
        "path": "linear",
        "image_format": "png",
        "priority": "interactive",
        **dict.fromkeys(("seed", "latent", "quality")),
        **changed,
    }
    return morph_request("m", LABEL_MAP, {}, {}, **rest)


def paint(**changed: Any) -> Any:
    return paint_update(
        1, **{**dict.fromkeys(("label_map", "strokes", "seed", "latent", "style_strength")), **changed}
    )


def encode(**changed: Any) -> Any:
    return encode_styles_request("m", RGB, LABEL_MAP, priority="interactive", **changed)


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_any_kind(kind: type) -> None:
    three = kind(3)
    assert synthesize(seed=three).seed == 3
    assert list(synthesize(seeds=[three, three]).seeds.values) == [3, 3]
    assert synthesize(number_of_images=three).number_of_images == 3
    assert synthesize(quality=three).image_quality == 3
    scribble = synthesize(scribble=Scribble([Stroke(three, [(three, three)], three)], three, three)).scribble
    assert (scribble.strokes.width, scribble.strokes.height, scribble.strokes.strokes[0].class_id) == (
        3,
        3,
        3,
    )
    assert edit(image_or_seed=three).seed == 3
    assert morph(number_of_frames=three, seed=three).number_of_frames == 3
    assert paint(seed=three).update.seed == 3
    assert encode(sample_seed=three).sample_seed == 3
    styles = styles_to_proto("styles", {three: Seed(three), kind(4): Blend(((Seed(three), three),))})
    assert (styles[3].seed, styles[4].blend.styles[0].seed) == (3, 3)
    assert code_to_proto(StyleCode("m", "1", three, (three,), (three,))).class_id == 3


@pytest.mark.parametrize("kind", FLOATS)
def test_numbers_of_any_kind(kind: type) -> None:
    two = kind(2)
    assert synthesize(style_strength=two).style_strength == 2
    assert list(synthesize(latents=[[two], [two]]).latents.latents[1].values) == [2]
    assert edit(image_or_seed=1, style_strength=two, blend_width=two).blend_width == 2
    assert list(edit(latent=[two, two]).latent.values) == [2, 2]
    frames = morph(first_position=two, last_position=two, latent=[two])
    assert (frames.first_position, frames.last_position, list(frames.latent.values)) == (2, 2, [2])
    assert list(paint(latent=np.array([two])).update.latent.values) == [2]
    stroke = stroke_to_proto(Stroke(1, [(two, two)], two))
    assert (stroke.width, stroke.points[0].x, stroke.points[0].y) == (2, 2, 2)
    assert styles_to_proto("s", {1: Blend(((CODE, two),))})[1].blend.styles[0].weight == 2
    assert list(code_to_proto(StyleCode("m", "1", 1, (two,))).values) == [2]


def test_arrays_of_seeds_and_latents() -> None:
    assert list(synthesize(seeds=np.arange(3)).seeds.values) == [0, 1, 2]
    latents = np.arange(4, dtype=np.float32).reshape(2, 2)
    assert [list(each.values) for each in synthesize(latents=latents).latents.latents] == [[0, 1], [2, 3]]


NOT_INTEGERS = st.one_of(
    st.floats(), st.text(), st.binary(), st.lists(st.integers()), st.builds(np.float64, st.floats())
)
NOT_NUMBERS = st.one_of(st.text(), st.binary(), st.lists(st.integers()), st.complex_numbers())


@given(NOT_INTEGERS)
def test_what_is_no_integer_is_refused_by_name(value: Any) -> None:
    for argument, build in (
        ("seed", synthesize),
        ("number_of_images", synthesize),
        ("quality", synthesize),
        ("number_of_frames", morph),
        ("sample_seed", encode),
    ):
        with pytest.raises(TypeError, match=f"^{argument}: got "):
            build(**{argument: value})


@given(NOT_NUMBERS)
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:
    for argument, build in (
        ("style_strength", synthesize),
        ("first_position", morph),
        ("last_position", morph),
        ("style_strength", paint),
    ):
        with pytest.raises(TypeError, match=f"^{argument}: got "):
            build(**{argument: value})


@given(st.integers().filter(lambda value: not 0 <= value < 2**32))
def test_integers_that_do_not_fit_are_refused_by_name(value: int) -> None:
    for argument, build in (("seed", synthesize), ("seed", paint), ("sample_seed", encode)):
        with pytest.raises(ValueError, match=f"^{argument}: got "):
            build(**{argument: value})
