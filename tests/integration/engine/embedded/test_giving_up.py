"""Deadlines and cancellation: what has not begun is dropped, and nothing leaks."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.core.errors import DeadlineExceeded, Unavailable
from service.engine.base import Inference, InferenceContext, Task
from service.engine.embedded.engine import EmbeddedEngine
from service.engine.workers import INTERRUPT_SECONDS
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import (
    RepositoryWriter,
    ensemble_config,
    onnx_config,
    onnx_model,
    step_text,
)
from tests.support.model_runs import ModelRuns
from tests.support.promises import in_time

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
    late = asyncio.create_task(infer(engine, "diamond", {"IN": row(1)}, context=InferenceContext(timeout=1)))
    await hold.reached.wait()
    with pytest.raises(DeadlineExceeded, match="passed before the work was done"):
        await late
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
    repository.affine("stage", 1, 0)
    engine = await start(threads=1)
    hold = runs.hold("stage")
    abandoned = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    abandoned.cancel()
    await asyncio.wait([abandoned])
    waiting = asyncio.create_task(infer(engine, "stage", {"IN": row(2)}))
    await asyncio.sleep(0)
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


async def test_between_two_cached_stages_a_caller_who_left_ends_the_ensemble(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    cached = "response_cache { enable: true }"
    repository.affine("first", 2, 0, extra=cached)
    repository.affine("second", 3, 0, extra=cached)
    steps = [step_text("first", {"IN": "IN"}, {"OUT": "x"}), step_text("second", {"IN": "x"}, {"OUT": "OUT"})]
    repository.ensemble("both", ensemble_config(steps))
    engine = await start(threads=1)
    hold = runs.hold("first")
    request = asyncio.create_task(infer(engine, "both", {"IN": row(1)}))
    await hold.reached.wait()
    request.cancel()
    await asyncio.wait([request])
    hold.release()
    # What was computed for nobody is kept all the same.
    again = await infer(engine, "both", {"IN": row(1)})
    assert [(timing.model, timing.cached) for timing in again.timings] == [("first", True), ("second", False)]
    assert (runs.count("first"), runs.count("second")) == (1, 1)


class Watched:
    """A task of two inferences that notes how far it comes."""

    def __init__(self, model: str = "stage") -> None:
        self.noted: list[str] = []
        self.began = threading.Event()
        self.go_on = threading.Event()
        self._model = model

    def task(self, wait: bool = False) -> Task[str]:
        try:
            self.noted.append("decode")
            self.began.set()
            assert not wait or self.go_on.wait(30)
            first = yield Inference(self._model, {"IN": row(1)}, ("OUT",))
            self.noted.append("between")
            yield Inference(self._model, {"IN": first.outputs["OUT"]}, ("OUT",))
            self.noted.append("encode")
            return "image"
        except GeneratorExit:
            self.noted.append("closed")
            raise


async def test_a_task_that_is_cancelled_during_an_inference_goes_no_further(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    engine, watched = await start(threads=1), Watched()
    hold = runs.hold("stage")
    request = asyncio.create_task(engine.run(watched.task()))
    await hold.reached.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert watched.noted == ["decode"]  # the caller is gone before the thread knows
    hold.release()
    await infer(engine, "stage", {"IN": row(2)})  # the only thread is free again
    assert watched.noted == ["decode", "closed"]


async def test_a_task_that_is_cancelled_while_it_computes_is_closed_at_its_next_inference(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    engine, watched = await start(threads=1), Watched()
    request = asyncio.create_task(engine.run(watched.task(wait=True)))
    await asyncio.to_thread(watched.began.wait, 30)
    request.cancel()
    await asyncio.wait([request])
    watched.go_on.set()
    await infer(engine, "stage", {"IN": row(2)})
    assert watched.noted == ["decode", "closed"]
    assert runs.count("stage") == 1


async def test_a_task_that_was_cancelled_in_the_queue_never_begins(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0)
    engine, watched = await start(threads=1), Watched()
    hold = runs.hold("stage")
    busy = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    request = asyncio.create_task(engine.run(watched.task()))
    await asyncio.sleep(0)
    request.cancel()
    await asyncio.wait([request])
    hold.release()
    await busy
    assert (await engine.run(Watched().task())) == "image"
    assert watched.noted == []


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_thread_that_waits_for_an_identical_stage_is_given_back_when_its_caller_leaves(
    repository: RepositoryWriter, start: Start, runs: ModelRuns, how: str
) -> None:
    repository.affine("stage", 1, 0, extra="response_cache { enable: true }")
    repository.affine("other", 1, 0)
    engine, watched = await start(threads=2), Watched()
    hold = runs.hold("stage")
    running = asyncio.create_task(infer(engine, "stage", {"IN": row(1)}))
    await hold.reached.wait()
    context = InferenceContext(timeout=1 if how == "late" else None)
    waiting = asyncio.create_task(engine.run(watched.task(), context))
    await asyncio.to_thread(watched.began.wait, 30)
    if how == "cancelled":
        waiting.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await waiting
    # There is a thread for others while the first still has its own.
    await infer(engine, "other", {"IN": row(3)})
    assert watched.noted == ["decode", "closed"]
    assert not running.done()
    hold.release()
    np.testing.assert_array_equal((await running).outputs["OUT"], row(1))


def _endless(extra: str = "") -> tuple[onnx.ModelProto, str]:
    """OUT = IN, after more turns of a loop than anybody waits for."""
    shape = ("batch", 4)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["goes_on_out"]),
            helper.make_node("Identity", ["value"], ["value_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("goes_on_out", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, shape),
        ],
    )
    model = onnx_model(
        [("IN", TensorProto.FLOAT, shape)],
        [("OUT", TensorProto.FLOAT, shape)],
        [
            helper.make_node("Constant", [], ["turns"], value_int=2**62),
            helper.make_node("Loop", ["turns", "", "IN"], ["OUT"], body=body),
        ],
    )
    return model, onnx_config(extra=extra)


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_model_that_runs_for_nobody_is_interrupted(
    repository: RepositoryWriter, start: Start, how: str
) -> None:
    model, config = _endless()
    repository.model("endless", {1: model}, config)
    repository.affine("stage", 1, 0)
    engine, watched = await start(threads=1), Watched("endless")
    context = InferenceContext(timeout=1 if how == "late" else None)
    request = asyncio.create_task(engine.run(watched.task(), context))
    await asyncio.to_thread(watched.began.wait, 30)
    if how == "cancelled":
        request.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await request
    await infer(engine, "stage", {"IN": row(2)})  # never, if the only thread is not given back
    assert watched.noted == ["decode", "closed"]


@pytest.mark.parametrize("extra", ["", "response_cache { enable: true }"], ids=["plain", "cached"])
async def test_close_ends_what_runs_on_after_its_grace(
    repository: RepositoryWriter, start: Start, extra: str
) -> None:
    model, config = _endless(extra)
    repository.model("endless", {1: model}, config)
    engine, watched = await start(threads=1), Watched("endless")
    running = asyncio.create_task(engine.run(watched.task()))
    waiting = asyncio.create_task(infer(engine, "endless", {"IN": row(2)}))
    await asyncio.to_thread(watched.began.wait, 30)
    with in_time(0.1 + INTERRUPT_SECONDS):
        await engine.close(grace_seconds=0.1)
    for request in (running, waiting):
        with pytest.raises(Unavailable, match="shutting down"):
            await request
    for thread in threading.enumerate():
        if thread.name.startswith("engine"):
            thread.join(30)
            assert not thread.is_alive()
    assert watched.noted == ["decode", "closed"]


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
