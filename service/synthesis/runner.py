"""The path of every request: queue, then one worker thread for all of the work, then measurement.

A feature (images, edits, styles, painting) says what its work is; how work is admitted, run, measured and
given out is said here, once for all of them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from service.core.errors import DeadlineExceeded, EngineUnreachable, InvalidArgument, ModelNotReady
from service.core.metrics import Metrics
from service.engine.base import Engine, InferenceContext, Task
from service.scheduling.queue import RequestQueue, Ticket
from service.synthesis.requests import CallContext
from service.synthesis.turn import Turn
from service.synthesis.work import Timings, Work

R = TypeVar("R")

_PAUSE_SECONDS = 0.25
"""How soon what found no engine has its next turn: until then the engine has been looked at, and the queue is
held if it is away."""


class Produced(NamedTuple, Generic[R]):
    """A result, and its message, already serialised."""

    result: R
    message: bytes


class Runner:
    """Runs work.

    Args:
        engine: Runs tasks.
        queue: Decides which image is made next.
        metrics: Counts images and time.
        waits_for_engine: Whether images whose engine is out of reach wait, until their deadline, and are made
            once it is back. They fail otherwise. Somebody holds the queue meanwhile.
    """

    def __init__(
        self, engine: Engine, queue: RequestQueue, metrics: Metrics, *, waits_for_engine: bool = False
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._metrics = metrics
        self._waits_for_engine = waits_for_engine

    async def collect(
        self,
        work: Work[R],
        call: CallContext,
        message: Callable[[R], bytes],
        end: Callable[[Sequence[R]], bytes],
    ) -> bytes:
        """Run work whose images are all given out together.

        Args:
            work: The work.
            call: The call it is done for.
            message: Serialises the part of a reply that one result is. Called on a worker.
            end: Serialises the rest of the reply, given all results in order; for a single image it is
                called on the worker, too.

        Returns:
            The reply: the parts in order, then the rest. Protobuf reads messages that follow each other as
            one.

        Raises:
            InvalidArgument: What the caller sent cannot be decoded, is too large or is not allowed.
            DeadlineExceeded: The deadline passed.
            Overloaded: The queue is full, it would be ready too late, or it was evicted.
            Unavailable: The engine is not running or out of reach.
            EngineFailure: A stage failed.
        """
        if work.images == 1:
            return await self.single(work, call, lambda result: message(result) + end([result]))
        results, parts = [], []
        async for produced in self.several(work, call, message, ordered=True):
            results.append(produced.result)
            parts.append(produced.message)
        parts.append(end(results))
        return b"".join(parts)

    async def single(self, work: Work[R], call: CallContext, message: Callable[[R], bytes]) -> bytes:
        """Run work that has one image.

        Returns:
            Its message.

        Raises:
            MaskweaveError: As for `collect`.
        """
        ticket = self._enter(work, call)
        try:
            return (await self._image(work, 0, call, ticket, message, None)).message
        finally:
            self._queue.leave(ticket)

    async def several(
        self, work: Work[R], call: CallContext, message: Callable[[R], bytes], *, ordered: bool
    ) -> AsyncGenerator[Produced[R], None]:
        """Run work and give out each image as soon as it is there, or as soon as it is next.

        Close the generator (`contextlib.aclosing`) to drop what has not been made.

        Raises:
            MaskweaveError: As for `collect`.
        """
        ticket = self._enter(work, call)
        loop = asyncio.get_running_loop()
        prepared: asyncio.Future[None] = loop.create_future()

        async def later(index: int) -> Produced[R]:
            await asyncio.shield(prepared)
            return await self._image(work, index, call, ticket, message, None)

        share = partial(loop.call_soon_threadsafe, _settle, prepared)
        tasks = [asyncio.create_task(self._image(work, 0, call, ticket, message, share))]
        tasks += [asyncio.create_task(later(index)) for index in range(1, work.images)]
        try:
            for finished in tasks if ordered else asyncio.as_completed(tasks):
                yield await finished
        finally:
            for task in tasks:
                task.cancel()
            prepared.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:  # a call that is being cancelled may be cancelled once more
                self._queue.leave(ticket)

    def _enter(self, work: Work[R], call: CallContext) -> Ticket:
        largest = self._queue.largest_request
        if work.images > largest:
            raise InvalidArgument(
                work.images_field, f"{work.images} images", f"at most {largest}, which the queue can hold"
            )
        call.timings.model, call.timings.model_version = work.model, work.model_version
        self._metrics.admitted(work.model, work.images)
        return self._queue.enter(
            work.served_by,
            work.images,
            caller=call.caller,
            priority=work.priority,
            seconds_left=call.seconds_left,
        )

    async def _image(
        self,
        work: Work[R],
        index: int,
        call: CallContext,
        ticket: Ticket,
        message: Callable[[R], bytes],
        share: Callable[[], object] | None,
    ) -> Produced[R]:
        image, made = _Image(work, index, call, ticket, message, share), False
        try:
            make = self._produced_once_there if self._waits_for_engine else self._produced
            produced = await make(image)
            made = True
            return produced
        finally:
            call.trace.image(work.model, image.timings, index, began=image.arrived, failed=not made)

    async def _produced_once_there(self, image: _Image[R]) -> Produced[R]:
        """As `_produced`, again and again while the engine is out of reach.

        Raises:
            DeadlineExceeded: The deadline passed meanwhile.
        """
        deadline = image.call.deadline
        try:
            # Frames of a painting have a deadline of their own, for which nobody else looks while they wait.
            async with asyncio.timeout_at(deadline if math.isfinite(deadline) else None):
                while True:
                    try:
                        return await self._produced(image)
                    except (EngineUnreachable, ModelNotReady) as error:
                        await asyncio.sleep(_PAUSE_SECONDS)
                        # A server that stops unloads its models first. One that lacks a single model goes on.
                        if isinstance(error, ModelNotReady) and not self._queue.held:
                            raise
                        image.timings.stages.clear()
                        self._queue.wait_again(image.ticket)
        except TimeoutError:
            raise DeadlineExceeded("The inference server was out of reach until the deadline.") from None

    async def _produced(self, image: _Image[R]) -> Produced[R]:
        work, call, ticket, timings = image.work, image.call, image.ticket, image.timings
        charged = await self._queue.acquire(ticket)
        started = time.perf_counter()
        timings.queue_wait = started - image.arrived
        turn = Turn()
        made = False

        def release() -> None:
            self._queue.release(ticket, time.perf_counter() - started, charged, learn=made)

        try:
            left = call.seconds_left
            context = InferenceContext(
                call.request_id, None if math.isinf(left) else left, work.priority, call.trace
            )
            produced = await self._engine.run(_task(image, started, turn), context)
            made = True
        finally:
            turn.when_over(release)
        # Once the reply is on its way: nobody waits for the figures.
        record = partial(self._metrics.image, work.model, work.labels, timings, first=image.index == 0)
        asyncio.get_running_loop().call_soon(record)
        call.timings.add(timings, first=image.index == 0)
        return produced


@dataclass(slots=True)
class _Image(Generic[R]):
    """One image on its way, from its wait for a turn on.

    Attributes:
        work: What it is an image of.
        index: Which image of the work.
        call: The call it is for.
        ticket: Of the work.
        message: Serialises the result.
        share: Called on the worker when all images of the work are prepared; None if nobody waits for that.
        timings: Its time.
        arrived: `time.perf_counter()` when its wait began.
    """

    work: Work[R]
    index: int
    call: CallContext
    ticket: Ticket
    message: Callable[[R], bytes]
    share: Callable[[], object] | None
    timings: Timings = field(default_factory=Timings)
    arrived: float = field(default_factory=time.perf_counter)


def _task(image: _Image[R], submitted: float, turn: Turn) -> Task[Produced[R]]:
    """All that is done for one image, on one worker."""
    if not turn.begin():
        raise DeadlineExceeded("Nobody waited for it any more when it was to begin.")
    work, timings = image.work, image.timings
    try:
        timings.worker_wait = time.perf_counter() - submitted
        if image.index == 0:
            yield from work.prepare(timings)
            if image.share is not None:
                image.share()
        result = yield from work.produce(image.index, timings)
        return Produced(result, image.message(result))
    finally:
        turn.end()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
