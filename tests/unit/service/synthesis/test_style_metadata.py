"""Models with styles, as read from what the engine says of them and of those beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.core.diagnostics import RepositoryError
from service.engine.base import ModelInfo, TensorSpec
from service.synthesis.registry.models import ConditionKind, Method
from service.synthesis.registry.registry import build_registry
from tests.support.fake_engine import ENCODER, FLOAT32, PRIOR, STYLED, with_parameters


def problems_of(*infos: ModelInfo) -> list[str]:
    with pytest.raises(RepositoryError) as caught:
        build_registry({info.name: info for info in infos})
    return [str(problem) for problem in caught.value.problems]


def test_styles_come_from_parameters() -> None:
    model = build_registry({info.name: info for info in (STYLED, ENCODER, PRIOR)})["dolls"]
    assert model.method is Method.GROUPDNET
    assert model.styles is not None
    assert (model.styles.encoder, model.styles.prior) == ("dolls_encoder", "dolls_prior")
    assert (model.styles.count, model.styles.size, model.styles.classes) == (2, 3, ((0,), (4,)))
    assert model.conditions[ConditionKind.LABEL_MAP].style_strength is None, "which only the other method has"


@pytest.mark.parametrize(
    ("parameter", "value", "problem"),
    [
        ("method", "magic", "got 'magic'"),
        ("style_encoder", None, "missing; allowed: needed for the method groupdnet"),
        ("style_prior", None, "missing; allowed: needed for the method groupdnet"),
        ("style_classes", None, "missing; allowed: needed for the method groupdnet"),
        ("style_size", None, "missing; allowed: needed for the method groupdnet"),
        ("style_classes", "0", "1 styles; allowed: one for each of the 2 classes"),
        ("style_classes", "0,2", "styles must count up from 0"),
        ("style_classes", "0,-1", "got '-1'"),
        ("style_size", "0", "got '0'"),
        ("style_encoder", "nobody", "got 'nobody'; allowed: a model of the repository"),
        ("style_prior", "nobody", "got 'nobody'; allowed: a model of the repository"),
    ],
)
def test_every_parameter_is_checked(parameter: str, value: str | None, problem: str) -> None:
    found = problems_of(with_parameters(STYLED, **{parameter: value}), ENCODER, PRIOR)
    assert any(
        line.startswith(f'dolls_label_map/config.pbtxt: parameters["maskweave.{parameter}"]')
        and problem in line
        for line in found
    ), found


def test_the_other_method_needs_its_style_strength() -> None:
    (found,) = problems_of(with_parameters(style_strength=None))
    assert "maskweave.style_strength" in found
    assert "needed for the method sis-ug" in found


@pytest.mark.parametrize("info", [STYLED, ENCODER, PRIOR], ids=lambda info: info.name)
def test_every_tensor_of_all_three_is_checked(info: ModelInfo) -> None:
    for kind in ("inputs", "outputs"):
        specs = getattr(info, kind)
        for spec in specs:
            others = tuple(each for each in specs if each is not spec)
            changed: dict[str, Any] = {kind: (*others, TensorSpec(spec.name, FLOAT32, (7, 7, 7)))}
            broken = replace(info, **changed)
            models = {each.name: each for each in (STYLED, ENCODER, PRIOR)} | {info.name: broken}
            found = problems_of(*models.values())
            field = f"{kind.removesuffix('s')}[{spec.name}]"
            place = f"{info.name}/config.pbtxt: {field}: got float32, dims [7, 7, 7]"
            assert any(line.startswith(place) for line in found), found
