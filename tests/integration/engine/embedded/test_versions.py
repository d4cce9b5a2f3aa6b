"""Which version of a model answers."""

from collections.abc import Awaitable, Callable

import pytest

from service.engine.embedded.engine import EmbeddedEngine
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import (
    RepositoryWriter,
    affine_model,
    ensemble_config,
    onnx_config,
    step_text,
)

Start = Callable[..., Awaitable[EmbeddedEngine]]


@pytest.mark.parametrize(
    ("policy", "answering"),
    [
        ("", 10),
        ("version_policy { latest { num_versions: 2 } }", 10),
        ("version_policy { all { } }", 10),
        ("version_policy { specific { versions: [ 1, 2 ] } }", 2),
    ],
)
async def test_the_newest_version_loaded_answers(
    repository: RepositoryWriter, start: Start, policy: str, answering: int
) -> None:
    versions = {version: affine_model(version, 0) for version in (1, 2, 10)}
    repository.model("stage", versions, onnx_config(extra=policy))
    engine = await start()
    assert engine.models()["stage"].version == answering
    assert (await infer(engine, "stage", {"IN": row(1)})).outputs["OUT"][0, 0] == answering


async def test_a_step_may_name_its_version(repository: RepositoryWriter, start: Start) -> None:
    versions = {version: affine_model(version, 0) for version in (1, 2)}
    repository.model("stage", versions, onnx_config(extra="version_policy { all { } }"))
    step = step_text("stage", {"IN": "IN"}, {"OUT": "OUT"}, version=1)
    repository.ensemble("pinned", ensemble_config([step]))
    engine = await start()
    assert (await infer(engine, "pinned", {"IN": row(1)})).outputs["OUT"][0, 0] == 1
    assert (await infer(engine, "stage", {"IN": row(1)})).outputs["OUT"][0, 0] == 2


async def test_a_version_the_policy_leaves_out_is_not_even_opened(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.model("stage", {1: affine_model(1, 0), 2: affine_model(2, 0)}, onnx_config())
    (repository.root / "stage" / "1" / "model.onnx").write_bytes(b"not a model")
    assert (await start()).models()["stage"].version == 2
