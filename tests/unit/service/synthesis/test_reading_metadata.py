"""Which models read label maps, as the repository tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from service.core.diagnostics import RepositoryError
from service.engine.base import ModelInfo, TensorSpec
from service.synthesis.registry.models import Layout, ReadingSupport
from service.synthesis.registry.registry import build_registry
from tests.support.fake_engine import ENSEMBLE, LABEL_READER, OWN, WITH_STYLES, with_parameters

FUSED = replace(OWN, name="tiny_own_fused", steps=())
OF_DOLLS = replace(LABEL_READER, name="dolls_label_reader", parameters={"maskweave.reads_labels": "dolls"})


def reading(*infos: ModelInfo, layout: Layout | None = None, of: str = "tiny") -> ReadingSupport | None:
    return build_registry({info.name: info for info in infos}, layout)[of].reading


def test_a_pack_without_a_reader_reads_nothing() -> None:
    assert reading(ENSEMBLE) is None


def test_each_pack_has_its_own_reader() -> None:
    infos = (ENSEMBLE, LABEL_READER, OWN, *WITH_STYLES)
    assert reading(*infos) == ReadingSupport("tiny_label_reader", "tiny_own")
    assert reading(*infos, of="dolls") is None
    assert reading(*infos, OF_DOLLS, of="dolls") == ReadingSupport("dolls_label_reader", None)


def test_what_every_version_has_is_its_own() -> None:
    newer = with_parameters(model_version="2.0.0")
    named = {**LABEL_READER.parameters, "maskweave.model_version": "2.0.0"}
    models = build_registry(
        {
            info.name: info
            for info in (
                ENSEMBLE,
                replace(newer, name="tiny_label_map_2"),
                replace(LABEL_READER, parameters=named),
            )
        }
    )["tiny"]
    assert models.version == "2.0.0"
    assert models.reading == ReadingSupport("tiny_label_reader", None)
    assert models.other_versions["1.0.0"].reading is None


@pytest.mark.parametrize(
    ("infos", "layout", "found"),
    [
        ((OWN,), None, ReadingSupport(None, "tiny_own")),
        ((FUSED,), None, ReadingSupport(None, "tiny_own_fused")),
        ((FUSED, OWN), None, ReadingSupport(None, "tiny_own")),
        ((FUSED, OWN, LABEL_READER), Layout.ENSEMBLE, ReadingSupport("tiny_label_reader", "tiny_own")),
        ((FUSED, LABEL_READER), Layout.ENSEMBLE, ReadingSupport("tiny_label_reader", None)),
        ((FUSED,), Layout.ENSEMBLE, None),
    ],
)
def test_the_layout_decides_who_reads_latents(
    infos: Sequence[ModelInfo], layout: Layout | None, found: ReadingSupport | None
) -> None:
    assert reading(ENSEMBLE, *infos, layout=layout) == found


def test_a_reader_whose_pack_is_not_on_offer_is_passed_over() -> None:
    stray = replace(LABEL_READER, name="other", parameters={"maskweave.reads_labels": "cats"})
    assert reading(ENSEMBLE, stray) is None
    assert reading(ENSEMBLE, LABEL_READER, stray) == ReadingSupport("tiny_label_reader", None)


def shaped(info: ModelInfo, name: str, *shape: int) -> ModelInfo:
    def other(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        spec = TensorSpec(name, np.dtype(np.uint8), shape)
        return tuple(spec if each.name == name else each for each in specs)

    return replace(info, inputs=other(info.inputs), outputs=other(info.outputs))


@pytest.mark.parametrize(
    ("infos", "told"),
    [
        (
            (
                replace(
                    LABEL_READER,
                    parameters={"maskweave.reads_labels": "tiny", "maskweave.model_version": "3.0.0"},
                ),
            ),
            "got '3.0.0'; allowed: a version of tiny: 1.0.0",
        ),
        ((LABEL_READER, replace(LABEL_READER, name="other")), "which tiny_label_reader reads already"),
        ((OWN, replace(OWN, name="other")), "which tiny_own reads already"),
        (
            (shaped(LABEL_READER, "PICTURE", 4, 4, 3),),
            r"input\[PICTURE\]: got uint8, dims \[4, 4, 3\]",
        ),
        (
            (shaped(LABEL_READER, "LABEL_MAP", 4, 4),),
            r"output\[LABEL_MAP\]: got uint8, dims \[4, 4\]",
        ),
        ((shaped(OWN, "IMAGE", 4, 4, 3),), r"output\[IMAGE\]: got uint8, dims \[4, 4, 3\]"),
        ((replace(LABEL_READER, inputs=()),), r"input\[PICTURE\]: missing"),
    ],
)
def test_a_reader_that_fits_no_pack_is_refused(infos: Sequence[ModelInfo], told: str) -> None:
    with pytest.raises(RepositoryError, match=told):
        reading(ENSEMBLE, *infos)
