"""Which models can be edited, as the repository tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from service.core.diagnostics import RepositoryError
from service.engine.base import ModelInfo, TensorSpec
from service.synthesis.registry.models import EditSupport, Layout
from service.synthesis.registry.registry import build_registry
from tests.support.fake_engine import EDITOR, ENSEMBLE, WITH_STYLES

FUSED = replace(EDITOR, name="tiny_edit_fused", steps=())


def editing(*infos: ModelInfo, layout: Layout | None = None) -> EditSupport | None:
    return build_registry({info.name: info for info in infos}, layout)["tiny"].editing


def test_what_comes_from_seeds_can_be_edited_without_any_editor() -> None:
    assert editing(ENSEMBLE) == EditSupport(None)


def test_models_of_another_method_cannot_be_edited() -> None:
    registry = build_registry({info.name: info for info in (ENSEMBLE, EDITOR, *WITH_STYLES)})
    assert registry["dolls"].editing is None
    assert registry["tiny"].editing == EditSupport("tiny_edit")


@pytest.mark.parametrize(
    ("infos", "layout", "editor"),
    [
        ((EDITOR,), None, "tiny_edit"),
        ((FUSED,), None, "tiny_edit_fused"),
        ((FUSED, EDITOR), None, "tiny_edit"),
        ((FUSED, EDITOR), Layout.ENSEMBLE, "tiny_edit"),
        ((FUSED,), Layout.ENSEMBLE, None),
    ],
)
def test_the_layout_decides_between_editors(
    infos: Sequence[ModelInfo], layout: Layout | None, editor: str | None
) -> None:
    assert editing(ENSEMBLE, *infos, layout=layout) == EditSupport(editor)


def shaped(name: str, *shape: int) -> ModelInfo:
    spec = TensorSpec(name, np.dtype(np.uint8), shape)
    return replace(EDITOR, inputs=tuple(spec if each.name == name else each for each in EDITOR.inputs))


@pytest.mark.parametrize(
    ("infos", "told"),
    [
        ((replace(EDITOR, parameters={"maskweave.edits": "cats"}),), "got 'cats'; allowed: one of: tiny"),
        ((EDITOR, replace(EDITOR, name="other")), "which tiny_edit edits already"),
        ((shaped("PICTURE", 4, 4, 3),), r"input\[PICTURE\]: got uint8, dims \[4, 4, 3\]"),
        ((shaped("LABEL_MAP", 4, 4),), r"input\[LABEL_MAP\]: got uint8, dims \[4, 4\]"),
        ((replace(EDITOR, inputs=EDITOR.inputs[:2]),), r"input\[STYLE_STRENGTH\]: missing"),
        ((replace(EDITOR, outputs=()),), r"output\[IMAGE\]: missing"),
    ],
)
def test_an_editor_that_fits_no_pack_is_refused(infos: Sequence[ModelInfo], told: str) -> None:
    with pytest.raises(RepositoryError, match=told):
        editing(ENSEMBLE, *infos)
