"""Paintings: what waits for its frame, what a frame costs, and who may go on."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable

import numpy as np
import pytest

from service.codecs.image import ImageFormat
from service.codecs.strokes import Stroke
from service.core.errors import InvalidArgument, QuotaExceeded, Unauthenticated
from service.core.metrics import Metrics
from service.engine.base import Priority
from service.scheduling.queue import RequestQueue
from service.synthesis.canvas import Update
from service.synthesis.conditions.types import RawLabelMap
from service.synthesis.images import Image
from service.synthesis.painting import Frame, Painting
from service.synthesis.registry.registry import build_registry
from service.synthesis.requests import CallContext, FirstSeed, Latent, SynthesisRequest
from service.synthesis.runner import Runner
from tests.support.fake_engine import FakeEngine

CANVAS = RawLabelMap(bytes(4), 2, 2)
DOT = [Stroke(4, 1.0, [(0.5, 0.5)])]


class Painter:
    """A painting on a fake engine, and the frames that it has given."""

    def __init__(self, permit: Callable[[], None] = lambda: None) -> None:
        engine = FakeEngine()
        registry = build_registry(engine.models())
        self.queue = RequestQueue(concurrency_limit=1, capacity=1)
        self.painting = Painting(
            SynthesisRequest("tiny", CANVAS, FirstSeed(1), image_format=ImageFormat.RAW), registry
        )
        self.frames: AsyncGenerator[tuple[int, bytes], None] = self.painting.frames(
            Runner(engine, self.queue, Metrics()),
            CallContext(),
            lambda frame: b"%d" % frame.sequence,
            frame_seconds=30,
            permit=permit,
        )


async def test_updates_that_wait_for_a_frame_are_one_frame() -> None:
    painter = Painter()
    assert await anext(painter.frames) == (0, b"0")
    for sequence in (1, 2, 3):
        await painter.painting.apply(Update(sequence, strokes=DOT))
    painter.painting.finish()
    assert [frame async for frame in painter.frames] == [(2, b"3")]


class Values(list[float]):
    """Numbers of a message; unlike those of protobuf, it can be told when they are gone."""


async def test_a_latent_keeps_no_message_in_memory() -> None:
    """The numbers of a message, as protobuf gives them, keep all of the message."""
    registry = build_registry(FakeEngine().models())
    size = registry["tiny"].latent_size
    first, later = Values([0.5] * size), Values([0.25] * size)
    gone = weakref.ref(first), weakref.ref(later)
    painting = Painting(SynthesisRequest("tiny", CANVAS, Latent(first)), registry)
    del first
    gc.collect()
    assert gone[0]() is None
    await painting.apply(Update(1, latent_source=Latent(later)))
    del later
    gc.collect()
    assert gone[1]() is None


async def test_strokes_are_drawn_in_the_turn_of_their_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    painter = Painter()
    turns = []

    def draw(canvas: object, _: object) -> object:
        turns.append(painter.queue.in_progress)
        return canvas

    monkeypatch.setattr("service.synthesis.canvas.draw_strokes", draw)
    assert await anext(painter.frames) == (0, b"0")
    await painter.painting.apply(Update(1, strokes=DOT))
    assert turns == []
    assert await anext(painter.frames) == (0, b"1")
    assert turns == [1]


async def test_what_takes_long_to_draw_is_left_to_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def draw(canvas: object, _: object) -> object:
        now[0] += 0.2
        return canvas

    painter = Painter()
    assert await anext(painter.frames) == (0, b"0")
    for sequence in range(1, 6):
        await painter.painting.apply(Update(sequence, strokes=DOT))
    painter.painting.finish()
    monkeypatch.setattr("service.synthesis.canvas.draw_strokes", draw)
    monkeypatch.setattr("service.synthesis.canvas.time.perf_counter", lambda: now[0])
    # Two updates a frame; every one has a frame or is counted as one without.
    assert [frame async for frame in painter.frames] == [(1, b"2"), (1, b"4"), (0, b"5")]


async def test_a_frame_that_the_queue_refuses_is_charged_once() -> None:
    charged = []
    painter = Painter(lambda: charged.append(1))
    assert await anext(painter.frames)
    queue = painter.queue
    tickets = [queue.enter("m", 1, caller=name, priority=Priority.INTERACTIVE) for name in "xy"]
    await queue.acquire(tickets[0])
    await painter.painting.apply(Update(1, strokes=DOT))
    frame = asyncio.ensure_future(anext(painter.frames))
    await asyncio.wait((frame,), timeout=0.3)  # it is tried several times
    queue.release(tickets[0], 0.0, learn=False)
    for ticket in tickets:
        queue.leave(ticket)
    assert await asyncio.wait_for(frame, 10) == (0, b"1")
    assert charged == [1]


async def test_a_stroke_that_is_not_allowed_is_named_and_ends_the_painting() -> None:
    painter = Painter()
    assert await anext(painter.frames)
    await painter.painting.apply(Update(1, strokes=[Stroke(9, 1.0, [(0.5, 0.5)])]))
    with pytest.raises(InvalidArgument, match=r"^update\.strokes\.strokes\[0\]\.class_id"):
        await anext(painter.frames)


async def test_no_more_updates_are_taken_in_than_may_wait() -> None:
    painter = Painter()
    assert await anext(painter.frames)
    await painter.painting.apply(Update(1, strokes=DOT, size_bytes=100))
    large = asyncio.create_task(painter.painting.apply(Update(2, strokes=DOT, size_bytes=4 * 2**20)))
    done, _ = await asyncio.wait((large,), timeout=0.05)
    assert not done
    assert await anext(painter.frames) == (1, b"2")
    await asyncio.wait_for(large, 5)


async def test_what_the_queue_refuses_is_drawn_once_it_has_room() -> None:
    painter = Painter()
    assert await anext(painter.frames)
    queue = painter.queue
    tickets = [queue.enter("m", 1, caller=name, priority=Priority.INTERACTIVE) for name in "xy"]
    await queue.acquire(tickets[0])
    await painter.painting.apply(Update(1, strokes=DOT))
    frame = asyncio.ensure_future(anext(painter.frames))
    await asyncio.wait((frame,), timeout=0.05)
    assert not frame.done()
    queue.release(tickets[0], 0.0, learn=False)
    for ticket in tickets:
        queue.leave(ticket)
    assert await asyncio.wait_for(frame, 10) == (0, b"1")


async def test_while_the_queue_refuses_frames_no_more_updates_are_taken_in() -> None:
    painter = Painter()
    assert await anext(painter.frames)
    queue = painter.queue
    tickets = [queue.enter("m", 1, caller=name, priority=Priority.INTERACTIVE) for name in "xy"]
    await queue.acquire(tickets[0])
    updates = asyncio.create_task(paint_large(painter.painting, 5))
    frame = asyncio.ensure_future(anext(painter.frames))
    await asyncio.wait((frame,), timeout=0.3)  # it is tried several times
    assert len(painter.painting._pending) <= 1
    assert not updates.done()
    queue.release(tickets[0], 0.0, learn=False)
    for ticket in tickets:
        queue.leave(ticket)
    assert await asyncio.wait_for(frame, 10)
    updates.cancel()


async def paint_large(painting: Painting, count: int) -> None:
    """Updates each of which fills what may wait."""
    for sequence in range(1, count + 1):
        await painting.apply(Update(sequence, strokes=DOT, size_bytes=4 * 2**20))


async def test_every_frame_but_the_first_is_permitted_or_ends_the_painting() -> None:
    answers: list[Exception | None] = [None, QuotaExceeded("k", "requests_per_second", 1, 0.01), None]

    def permit() -> None:
        if error := answers.pop(0):
            raise error

    painter = Painter(permit)
    assert await anext(painter.frames) == (0, b"0")
    assert len(answers) == 3
    for sequence in (1, 2):  # the second waits until the key may go on
        await painter.painting.apply(Update(sequence, strokes=DOT))
        assert await anext(painter.frames) == (0, b"%d" % sequence)
    answers.append(Unauthenticated("revoked"))
    await painter.painting.apply(Update(3, strokes=DOT))
    with pytest.raises(Unauthenticated):
        await anext(painter.frames)


async def test_a_frame_tells_of_its_image() -> None:
    told: list[Frame] = []
    painter = Painter()
    frames = painter.painting.frames(
        Runner(FakeEngine(), painter.queue, Metrics()),
        CallContext(),
        lambda frame: told.append(frame) or b"",  # type: ignore[func-returns-value]
        frame_seconds=30,
        permit=lambda: None,
    )
    await anext(frames)
    (frame,) = told
    assert (frame.sequence, frame.dropped, frame.model.name) == (0, 0, "tiny")
    assert isinstance(frame.image, Image)
    assert frame.image.seed == 1
    assert np.frombuffer(frame.image.file.data, np.uint8).shape == (12,)
