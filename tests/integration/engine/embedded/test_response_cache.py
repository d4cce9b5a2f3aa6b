"""The response cache, seen from outside: which calls run the model and which do not."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from service.core.errors import DeadlineExceeded, EngineFailure
from service.engine.base import InferenceContext
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
from tests.support.model_runs import ModelRuns

Start = Callable[..., Awaitable[EmbeddedEngine]]
CACHED = "response_cache { enable: true }"
ENTRY_BYTES = row(0).nbytes


async def test_a_repeated_input_does_not_run_the_model_again(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond(head_extra=CACHED)
    engine = await start()
    first = await infer(engine, "diamond", {"IN": row(1)})
    second = await infer(engine, "diamond", {"IN": row(1)})
    np.testing.assert_array_equal(first.outputs["OUT"], second.outputs["OUT"])
    assert (runs.count("head"), runs.count("left")) == (1, 2)
    cached = {timing.model: timing.cached for timing in second.timings}
    assert cached == {"head": True, "left": False, "right": False, "join": False}
    assert second.timings[0].compute_seconds == 0


async def test_other_inputs_do(repository: RepositoryWriter, start: Start, runs: ModelRuns) -> None:
    repository.affine("stage", 1, 0, extra=CACHED)
    engine = await start()
    for array in (row(1), row(2), row(1, batch=2)):
        result = await infer(engine, "stage", {"IN": array})
        np.testing.assert_array_equal(result.outputs["OUT"], array)
    assert runs.count("stage") == 3


async def test_models_that_do_not_ask_for_it_are_not_cached(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    repository.affine("refuses", 1, 0, extra="response_cache { enable: false }")
    engine = await start()
    for model in ("stage", "stage", "refuses", "refuses"):
        await infer(engine, model, {"IN": row(1)})
    assert (runs.count("stage"), runs.count("refuses")) == (2, 2)


async def test_two_models_do_not_answer_for_each_other(repository: RepositoryWriter, start: Start) -> None:
    repository.affine("double", 2, 0, extra=CACHED)
    repository.affine("triple", 3, 0, extra=CACHED)
    engine = await start()
    for _ in range(2):
        assert (await infer(engine, "double", {"IN": row(1)})).outputs["OUT"][0, 0] == 2
        assert (await infer(engine, "triple", {"IN": row(1)})).outputs["OUT"][0, 0] == 3


async def test_two_versions_do_not_answer_for_each_other(repository: RepositoryWriter, start: Start) -> None:
    config = onnx_config(extra=f"version_policy {{ all {{ }} }} {CACHED}")
    repository.model("stage", {1: affine_model(1, 0), 2: affine_model(2, 0)}, config)
    old = step_text("stage", {"IN": "IN"}, {"OUT": "OLD"}, version=1)
    new = step_text("stage", {"IN": "IN"}, {"OUT": "NEW"})
    repository.ensemble("both", ensemble_config([old, new], outputs=("OLD", "NEW")))
    engine = await start()
    for _ in range(2):
        outputs = (await infer(engine, "both", {"IN": row(1)})).outputs
        assert (outputs["OLD"][0, 0], outputs["NEW"][0, 0]) == (1, 2)


async def test_the_least_recently_used_answer_goes_when_the_bytes_are_full(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0, extra=CACHED)
    engine = await start(cache_bytes=2 * ENTRY_BYTES)
    for value in (1, 2, 1, 3):  # 3 drives out 2
        await infer(engine, "stage", {"IN": row(value)})
    assert runs.count("stage") == 3
    await infer(engine, "stage", {"IN": row(1)})
    assert runs.count("stage") == 3
    await infer(engine, "stage", {"IN": row(2)})
    assert runs.count("stage") == 4


async def test_no_bytes_no_cache(repository: RepositoryWriter, start: Start, runs: ModelRuns) -> None:
    repository.affine("stage", 1, 0, extra=CACHED)
    engine = await start(cache_bytes=0)
    for _ in range(2):
        await infer(engine, "stage", {"IN": row(1)})
    assert runs.count("stage") == 2


async def test_identical_requests_at_the_same_time_share_one_run(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond(head_extra=CACHED)
    engine = await start()
    hold = runs.hold("head")
    requests = [asyncio.create_task(infer(engine, "diamond", {"IN": row(1)})) for _ in range(5)]
    await hold.reached.wait()
    hold.release()
    results = await asyncio.gather(*requests)
    for result in results:
        np.testing.assert_array_equal(result.outputs["OUT"], row(9))
    assert runs.count("head") == 1
    assert sorted(result.timings[0].cached for result in results) == [False, True, True, True, True]


async def test_a_caller_that_gives_up_does_not_spoil_the_run_it_shares(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0, extra=CACHED)
    engine = await start()
    hold = runs.hold("stage")
    first = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    second = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    with pytest.raises(DeadlineExceeded):
        await infer(engine, "stage", {"IN": row(1)}, context=InferenceContext(timeout=0.01))
    first.cancel()
    await asyncio.wait([first])
    hold.release()
    np.testing.assert_array_equal((await second).outputs["OUT"], row(1))
    assert runs.count("stage") == 1


async def test_a_failure_is_not_kept(repository: RepositoryWriter, start: Start, runs: ModelRuns) -> None:
    repository.affine("stage", 1, 0, extra=CACHED)
    engine = await start()

    def fail() -> None:
        raise EngineFailure("once")

    runs.before["stage"] = fail
    with pytest.raises(EngineFailure, match="once"):
        await infer(engine, "stage", {"IN": row(1)})
    del runs.before["stage"]
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(1)})).outputs["OUT"], row(1))


async def test_an_ensemble_may_be_cached_as_a_whole(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond(extra=CACHED)
    engine = await start()
    await infer(engine, "diamond", {"IN": row(1)})
    again = await infer(engine, "diamond", {"IN": row(1)})
    np.testing.assert_array_equal(again.outputs["OUT"], row(9))
    assert runs.count("head") == 1
    assert [(timing.model, timing.cached) for timing in again.timings] == [("diamond", True)]
