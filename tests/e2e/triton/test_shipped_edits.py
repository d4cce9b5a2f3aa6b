"""Edits and reading of label maps on the shipped packs, by both engines: the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.edit_wishes import more_hair, no_nose
from maskweave_client import Client, PaintedEdit
from tests.support.shipped import LABEL_MAPS, assert_same, fitted
from tests.support.triton_process import TritonProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "faces64"
MAX_OTHERWISE = 0.005
"""Share of the pixels that may be read as another class: close calls, which rounding decides."""


@pytest.mark.parametrize("file", LABEL_MAPS, ids=lambda file: file.stem)
def test_edits(shipped_client: Client, shipped_by_triton: Client, file: Path) -> None:
    source = fitted(file)
    image = shipped_client.synthesize(MODEL, source, seed=3).images[0].to_numpy()
    for what in (image, 3):
        for target in (more_hair(source, source), no_nose(source, source)):
            for known in (source, None):
                ours, theirs = (
                    client.edit(MODEL, what, target, source=known).images[0]
                    for client in (shipped_client, shipped_by_triton)
                )
                assert_same(ours, theirs)


def test_paintings(shipped_client: Client, shipped_by_triton: Client) -> None:
    source = fitted(LABEL_MAPS[0])
    image = shipped_client.synthesize(MODEL, source, seed=3).images[0].to_numpy()
    for edit, seed in ((PaintedEdit(image, source), None), (PaintedEdit(source=source), 3)):
        ends = []
        for client in (shipped_client, shipped_by_triton):
            with client.paint(MODEL, source, edit=edit, seed=seed) as session:
                session.update(label_map=more_hair(source, source))
                session.finish()
                ends.append(list(session)[-1].image)
        assert_same(*ends)


def test_label_maps(shipped_client: Client, shipped_by_triton: Client) -> None:
    image = shipped_client.synthesize(MODEL, fitted(LABEL_MAPS[0]), seed=3).images[0]
    for model, what in ((MODEL, image.data), ("faces64_styles", image.data), (MODEL, 3)):
        ours, theirs = (client.read_label_map(model, what) for client in (shipped_client, shipped_by_triton))
        assert (ours.label_map != theirs.label_map).mean() < MAX_OTHERWISE
        if ours.image is not None:
            assert theirs.image is not None
            assert_same(ours.image, theirs.image)


def test_what_triton_ran(
    shipped_client: Client, shipped_by_triton: Client, shipped_triton: TritonProcess
) -> None:
    source = fitted(LABEL_MAPS[0])
    before = shipped_triton.count("faces64_inverter", "inference_count")
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    result = shipped_by_triton.edit(MODEL, image, source)
    shipped_triton.wait_for_count("faces64_inverter", "inference_count", before + 1)
    assert [stage.stage for stage in result.timings.stages] == ["faces64_edit"]
    ours = shipped_client.edit(MODEL, image, source)
    assert [stage.stage for stage in ours.timings.stages] == [
        "faces64_proxy_segmenter",
        "faces64_inverter",
        "faces64_mapper_label_map",
        "faces64_target_reader",
        "faces64_rearranger",
        "faces64_generator_tail",
    ]
