"""Deadlines and cancellation: what has not begun is dropped, and nothing leaks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from service.core.errors import DeadlineExceeded
from service.engine.base import InferenceContext
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import RepositoryWriter
from tests.support.model_runs import ModelRuns

Start = Callable[..., Awaitable[EmbeddedEngine]]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_deadline_that_has_passed_runs_nothing(
    repository: RepositoryWriter, start: Start, runs: ModelRuns, seconds: float
) -> None:
    repository.affine("stage", 1, 0)
    engine = await start()
    with pytest.raises(DeadlineExceeded, match="had passed before the work began"):
        await infer(engine, "stage", {"IN": row(1)}, context=InferenceContext(timeout=seconds))
    assert runs.count("stage") == 0


async def test_a_deadline_in_the_middle_starts_no_further_step(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond()
    engine = await start(threads=1)
    hold = runs.hold("head")
    with pytest.raises(DeadlineExceeded, match="passed before the work was done"):
        await infer(engine, "diamond", {"IN": row(1)}, context=InferenceContext(timeout=0.01))
    hold.release()
    result = await infer(engine, "diamond", {"IN": row(1)})  # the only thread is free again
    np.testing.assert_array_equal(result.outputs["OUT"], row(9))
    assert [runs.count(name) for name in ("head", "left", "right", "join")] == [2, 1, 1, 1]


async def test_a_cancelled_request_in_the_queue_never_runs(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    engine = await start(threads=1)
    hold = runs.hold("stage")
    first = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    queued = [asyncio.create_task(infer(engine, "stage", {"IN": row(value)})) for value in (2, 3, 4)]
    await asyncio.sleep(0)
    queued[0].cancel()
    queued[1].cancel()
    await asyncio.wait(queued[:2])
    hold.release()
    np.testing.assert_array_equal((await first).outputs["OUT"], row(1))
    np.testing.assert_array_equal((await queued[2]).outputs["OUT"], row(4))
    assert [inputs["IN"][0, 0] for inputs in runs.inputs["stage"]] == [1, 4]


async def test_a_cancelled_run_keeps_its_place_until_it_ends_and_then_gives_it_back(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0, extra="instance_group { count: 1 }")
    repository.affine("other", 1, 0)
    engine = await start(threads=2)
    hold = runs.hold("stage")
    abandoned = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    abandoned.cancel()
    await asyncio.wait([abandoned])
    waiting = asyncio.create_task(infer(engine, "stage", {"IN": row(2)}))
    await infer(engine, "other", {"IN": row(3)})
    assert runs.count("stage") == 1
    hold.release()
    np.testing.assert_array_equal((await waiting).outputs["OUT"], row(2))


async def test_a_shared_run_that_everybody_left_is_dropped_and_can_be_asked_for_again(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("busy", 1, 0)
    repository.affine("stage", 1, 0, extra="response_cache { enable: true }")
    engine = await start(threads=1)
    hold = runs.hold("busy")
    busy = asyncio.create_task(infer(engine, "busy", {"IN": row(1)}))
    await hold.reached.wait()
    shared = [asyncio.create_task(infer(engine, "stage", {"IN": row(2)})) for _ in range(3)]
    await asyncio.sleep(0)
    for request in shared:
        request.cancel()
    await asyncio.wait(shared)
    hold.release()
    await busy
    assert runs.count("stage") == 0
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(2)})).outputs["OUT"], row(2))


async def test_instances_bound_the_runs_of_a_model_at_the_same_time(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0, extra="instance_group { count: 2 }")
    engine = await start(threads=4)
    meeting = threading.Barrier(2, timeout=30)  # passes only when two are there
    lock, active, most = threading.Lock(), 0, 0

    def count() -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        meeting.wait()
        with lock:
            active -= 1

    runs.before["stage"] = count
    results = await asyncio.gather(*(infer(engine, "stage", {"IN": row(value)}) for value in range(20)))
    assert most == 2
    for value, result in enumerate(results):
        np.testing.assert_array_equal(result.outputs["OUT"], row(value))


async def test_close_does_not_wait_for_callers_who_left(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    engine = await start(threads=1)
    hold = runs.hold("stage")
    requests = [asyncio.create_task(infer(engine, "stage", {"IN": row(value)})) for value in range(5)]
    await hold.reached.wait()
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)
    hold.release()
    await engine.close()
    assert runs.count("stage") == 1
