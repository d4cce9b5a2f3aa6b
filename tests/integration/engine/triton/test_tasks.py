"""Tasks on the Triton engine: what they compute runs on worker threads, their inferences on the server."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from service.core.errors import DeadlineExceeded, InvalidArgument, ModelNotReady, Unavailable
from service.core.log_lines import TextLines
from service.engine.base import Array, Inference, InferenceContext, Task
from service.engine.triton.engine import TritonEngine
from service.engine.workers import INTERRUPT_SECONDS
from tests.support.promises import in_time
from tests.support.recording_triton import MODEL, RecordingTriton, recording_triton

Serving = tuple[TritonEngine, RecordingTriton]


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    async with recording_triton() as (triton, url):
        engine = TritonEngine([url], start_seconds=5, worker_threads=2)
        await engine.start()
        yield engine, triton
        await engine.close()


def row(value: float) -> dict[str, Array]:
    return {"IN": np.array([[value, value]], np.float32)}


class Watched:
    """A task of two inferences that notes how far it comes, and on which threads."""

    def __init__(self, wait: bool = False) -> None:
        self.noted: list[str] = []
        self.threads: set[int] = set()
        self.began, self.go_on, self.closed = threading.Event(), threading.Event(), threading.Event()
        self._wait = wait

    def task(self) -> Task[float]:
        try:
            self._note("decode")
            self.began.set()
            assert not self._wait or self.go_on.wait(30)
            first = yield Inference(MODEL, row(1), ("OUT",))
            self._note("between")
            second = yield Inference(MODEL, row(first.outputs["OUT"][0, 0]), ("OUT",))
            self._note("encode")
            return float(second.outputs["OUT"][0, 0])
        except GeneratorExit:
            self._note("closed")
            self.closed.set()
            raise

    def _note(self, what: str) -> None:
        self.noted.append(what)
        self.threads.add(threading.get_ident())


async def test_a_task_runs_off_the_event_loop_and_its_inferences_on_the_server(serving: Serving) -> None:
    engine, triton = serving
    watched = Watched()
    assert await engine.run(watched.task()) == 4
    assert watched.noted == ["decode", "between", "encode"]
    assert threading.get_ident() not in watched.threads
    assert len(triton.requests) == 2


async def test_what_a_task_raises_reaches_its_caller(serving: Serving) -> None:
    engine, triton = serving

    def task() -> Task[None]:
        raise InvalidArgument("label_map", "4 pixels", "16")
        yield Inference(MODEL, row(1), ("OUT",))

    with pytest.raises(InvalidArgument, match="label_map: got 4 pixels"):
        await engine.run(task())
    assert triton.requests == []


async def test_a_failure_is_raised_in_the_task_which_may_go_on(serving: Serving) -> None:
    engine, triton = serving

    async def refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if len(triton.requests) <= 2:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model")

    triton.behaviour = refuse

    def task() -> Task[float]:
        with pytest.raises(ModelNotReady):
            yield Inference(MODEL, row(1), ("OUT",))
        result = yield Inference(MODEL, row(3), ("OUT",))
        return float(result.outputs["OUT"][0, 0])

    assert await engine.run(task()) == 6


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_task_whose_caller_leaves_during_an_inference_is_closed(serving: Serving, how: str) -> None:
    engine, triton = serving
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    triton.behaviour = hang
    watched = Watched()
    context = InferenceContext(timeout=1 if how == "late" else None)
    run = asyncio.create_task(engine.run(watched.task(), context))
    await begun.wait()
    if how == "cancelled":
        run.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await run
    await asyncio.wait_for(triton.cancelled.wait(), 5)
    assert await asyncio.to_thread(watched.closed.wait, 30)
    assert watched.noted == ["decode", "closed"]
    assert threading.get_ident() not in watched.threads


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_task_whose_caller_leaves_while_it_computes_is_closed_at_its_next_inference(
    serving: Serving, how: str
) -> None:
    engine, triton = serving
    watched = Watched(wait=True)
    context = InferenceContext(timeout=1 if how == "late" else None)
    run = asyncio.create_task(engine.run(watched.task(), context))
    await asyncio.to_thread(watched.began.wait, 30)
    if how == "cancelled":
        run.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await run
    assert watched.noted == ["decode"]
    watched.go_on.set()
    assert await asyncio.to_thread(watched.closed.wait, 30)
    assert watched.noted == ["decode", "closed"]
    assert triton.requests == []


async def test_the_deadline_is_that_of_all_inferences_together(serving: Serving) -> None:
    engine, triton = serving
    assert await engine.run(Watched().task(), InferenceContext(timeout=9.0)) == 4
    first, second = (request.parameters["timeout"].int64_param for request in triton.requests)
    assert 0 < second < first < 9e6


async def test_close_gives_up_what_waits_for_a_server_after_its_grace(serving: Serving) -> None:
    engine, triton = serving
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    triton.behaviour = hang
    watched = Watched()
    run = asyncio.create_task(engine.run(watched.task()))
    await begun.wait()
    with in_time(0.05 + INTERRUPT_SECONDS):
        await engine.close(grace_seconds=0.05)
    with pytest.raises(Unavailable):
        await run
    for thread in threading.enumerate():
        if thread.name.startswith("engine"):
            thread.join(30)
            assert not thread.is_alive()


async def test_close_waits_no_longer_than_its_grace_for_a_task_that_computes(serving: Serving) -> None:
    engine, _ = serving
    watched = Watched(wait=True)
    run = asyncio.create_task(engine.run(watched.task()))
    await asyncio.to_thread(watched.began.wait, 30)
    with in_time(0.05 + INTERRUPT_SECONDS):
        await engine.close(grace_seconds=0.05)
    with pytest.raises(Unavailable, match="shutting down"):
        await run
    watched.go_on.set()
    assert await asyncio.to_thread(watched.closed.wait, 30)


async def test_what_a_task_logs_carries_the_request_id(serving: Serving) -> None:
    engine, _ = serving
    logger, lines = logging.getLogger(__name__), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(TextLines())
    logger.addHandler(handler)

    def task() -> Task[None]:
        logger.warning("before")
        yield Inference(MODEL, row(1), ("OUT",))
        logger.warning("after")

    try:
        await engine.run(task(), InferenceContext(request_id="r-1"))
    finally:
        logger.removeHandler(handler)
    assert lines.getvalue().count('request_id="r-1"') == 2
