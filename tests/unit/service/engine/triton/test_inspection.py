"""What counts as another model on a server that came back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.engine.base import TensorSpec
from service.engine.triton.inspection import differences
from tests.support.fake_engine import ENSEMBLE

KNOWN = {"a": ENSEMBLE, "b": ENSEMBLE}


def test_the_same_models_do_not_differ() -> None:
    assert differences(KNOWN, {"b": replace(ENSEMBLE), "a": replace(ENSEMBLE)}) == {}


def test_a_new_model_differs_and_a_missing_one_does_not() -> None:
    assert differences(KNOWN, {"b": ENSEMBLE, "c": ENSEMBLE}) == {"c": "model 'c' is new"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("max_batch_size", 1),
        ("inputs", (TensorSpec("LATENT", np.dtype(np.float16), (3,)),)),
        ("outputs", ()),
        ("parameters", {}),
        ("steps", ()),
    ],
)
def test_every_field_that_is_another(field: str, value: object) -> None:
    changed = replace(ENSEMBLE, **{field: value})  # type: ignore[arg-type]
    assert differences(KNOWN, {**KNOWN, "b": changed}) == {"b": f"model 'b' has other {field}"}
