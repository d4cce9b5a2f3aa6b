"""What the shipped pack does not compute again: what follows from the seed or from the condition alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from maskweave_client import Client, Stroke
from tests.support.shipped import LABEL_MAPS, condition, fitted, samples

OF_SEED = {"generator_head"}
OF_CONDITION = {
    "label_map": set[str](),  # the mapper looks at the seed's style, too
    "sketch": {"sketch_reader"},
    "scribble": {"scribble_completer"},
    "proxy_mask": {"target_reader"},
    "exemplar": {"proxy_segmenter", "target_reader"},
}
NEVER_KEPT = {"rearranger", "generator_tail"}


def kept(stages: Iterable[Any]) -> tuple[set[str], set[str]]:
    """Names of all stages, and of those that were not computed."""
    named = [(stage.stage.removeprefix("faces64_"), stage.cached) for stage in stages]
    return {name for name, _ in named}, {name for name, cached in named if cached}


@pytest.mark.parametrize("kind", list(OF_CONDITION))
def test_a_seed_and_a_condition_that_come_again(shipped_client: Client, kind: str) -> None:
    one, other = (condition(kind, file) for file in samples(kind)[:2])
    first, second = (81_000 + 2 * list(OF_CONDITION).index(kind) + number for number in range(2))

    def made(seed: int, given: dict[str, Any]) -> tuple[set[str], set[str], bytes]:
        result = shipped_client.synthesize("faces64", seed=seed, image_format="raw", **given)
        return *kept(result.timings.stages), result.images[0].data

    shipped_client.synthesize("faces64", seed=first, **one)
    names, again, whole = made(first, one)
    assert again == names - NEVER_KEPT
    assert made(first, other)[1] >= OF_SEED
    assert made(second, one)[1] >= OF_CONDITION[kind]
    assert "generator_head" not in made(second + 100, one)[1]
    assert made(first, one)[2] == whole


def test_a_stroke_runs_what_it_changes(shipped_client: Client) -> None:
    """And taking it back runs next to nothing: what the canvas was like is remembered."""
    canvas = fitted(LABEL_MAPS[0])
    stroke = Stroke(5, [(10, 50), (50, 50)], 6)
    with shipped_client.paint("faces64", canvas, seed=81_234) as session:
        frames = [next(session)]
        session.update(strokes=[stroke])
        frames.append(next(session))
        session.update(label_map=canvas)
        frames.append(next(session))
    again = [kept(frame.timings.stages)[1] for frame in frames]
    names = kept(frames[0].timings.stages)[0]
    assert not again[0]
    assert again[1] == OF_SEED
    assert again[2] == names - NEVER_KEPT
    before, changed, after = (frame.image.to_numpy() for frame in frames)
    assert np.array_equal(before, after)
    assert not np.array_equal(before, changed)
