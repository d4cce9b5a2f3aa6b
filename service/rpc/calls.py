"""What every call has, whatever its method: an id, a key, a deadline, admission, metrics, one way to fail."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc

from service.core.errors import DeadlineExceeded, Overloaded, Unavailable
from service.core.limits import LIMITS
from service.core.logging import request_context
from service.core.metrics import Metrics, Rpc
from service.core.statuses import Failure, describe
from service.rpc.access import Access
from service.rpc.status import DETAILS_TRAILER, rich_status
from service.rpc.trace import trace_context
from service.synthesis.request import Origin

REQUEST_ID = "x-request-id"
SERVER_TIMING = "server-timing"
RETRY_PUSHBACK = "grpc-retry-pushback-ms"

_PASSED = "The deadline passed before the answer was ready."
_STOPPING = "This gateway is stopping."
_CUT_OFF = "This gateway is stopping, and the request was not done within the grace."

# Kept back from the caller's deadline, so that a late answer still reaches them as ours.
_DEADLINE_MARGIN_SECONDS = 0.005

# The soonest that a refused caller is asked to come back: an answer of ListModels says little of pictures.
_LEAST_RETRY_SECONDS = 0.05

_REQUEST_ID_FORM = re.compile(rf"[\x21-\x7e]{{1,{LIMITS.max_request_id_chars}}}")
_logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Call:
    """One call in progress.

    Attributes:
        request_id: The caller's id, or one made up here.
        started: `time.perf_counter()` at its arrival.
        deadline: The event loop's time at which the answer is of no use any more.
        caller: Who calls: the id of their key or, where none is asked for, the host they call from.
        trace: The caller's trace context: `traceparent` and `tracestate`, or nothing.
        trailer: Trailing metadata, filled on the way.
    """

    request_id: str
    started: float
    deadline: float
    caller: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)
    trailer: dict[str, str] = field(default_factory=dict)

    @property
    def elapsed_seconds(self) -> float:
        """Time since its arrival."""
        return time.perf_counter() - self.started

    @property
    def origin(self) -> Origin:
        """What the layers below are told of it."""
        return Origin(self.caller, self.request_id, self.deadline, self.trace)


class Calls:
    """Takes calls in and sees them out.

    Args:
        metrics: Counts them.
        max_concurrent: Calls in progress beyond which new ones are refused.
        default_timeout_seconds: Deadline of calls that come without one.
        access: Lets them in by their keys; None for whoever calls.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        max_concurrent: int,
        default_timeout_seconds: float,
        access: Access | None = None,
    ) -> None:
        self._metrics = metrics
        self._access = access
        self._max_concurrent = max_concurrent
        self._default_timeout_seconds = default_timeout_seconds
        self._in_progress = 0
        self._latest_answer_seconds = 0.0
        self._timeouts: set[asyncio.Timeout] = set()
        self._closed: asyncio.Event | None = None

    def stop(self, *, grace_seconds: float) -> None:
        """Take no new calls. Those in progress go on, and become UNAVAILABLE at the end of the grace.

        New ones are held until `refuse_held`, so that their callers send nothing while gRPC shuts down, which
        would kill it as CANCELLED.
        """
        self._closed = asyncio.Event()
        end = asyncio.get_running_loop().time() + grace_seconds
        for timeout in self._timeouts:
            when = timeout.when()
            if when is not None and when > end and not timeout.expired():
                timeout.reschedule(end)

    def refuse_held(self) -> None:
        """Refuse the calls that are held since `stop`, and all later ones at once, as UNAVAILABLE."""
        if self._closed is not None:
            self._closed.set()

    @asynccontextmanager
    async def take(self, rpc: Rpc, context: Context, *, session: bool = False) -> AsyncIterator[Call]:
        """Run the body of this context as one call: whatever it raises becomes the call's status.

        A session has no deadline but its caller's, and says nothing of how long answers take.
        """
        call = self._begin(context, math.inf if session else self._default_timeout_seconds)
        code = grpc.StatusCode.OK
        self._metrics.rpc_started(rpc)
        self._in_progress += 1
        try:
            with request_context(call.request_id):
                try:
                    await self._refuse_when_stopping(call)
                    with self._admitted(rpc, call, context):
                        async with self._until(call.deadline):
                            yield call
                    context.set_trailing_metadata(tuple(call.trailer.items()))
                    if not session:
                        self._latest_answer_seconds = call.elapsed_seconds
                except asyncio.CancelledError as error:
                    # gRPC cancels a call at its deadline too, and a busy event loop may hear of that first.
                    passed = asyncio.get_running_loop().time() >= call.deadline
                    failure = self._record(DeadlineExceeded(_PASSED), rpc) if passed else describe(error)
                    code = failure.code
                    raise
                except Exception as error:
                    failure = self._record(error, rpc)
                    code = failure.code
                    await _abort(failure, error, call, context)
        finally:
            self._in_progress -= 1
            self._metrics.rpc_handled(rpc, code, call.elapsed_seconds)

    def _begin(self, context: Context, default_timeout_seconds: float) -> Call:
        metadata = dict(context.invocation_metadata() or ())
        given = metadata.get(REQUEST_ID, "")
        usable = isinstance(given, str) and _REQUEST_ID_FORM.fullmatch(given)
        request_id = str(given) if usable else uuid.uuid4().hex
        remaining = context.time_remaining()
        timeout = default_timeout_seconds if remaining is None else remaining - _DEADLINE_MARGIN_SECONDS
        deadline = asyncio.get_running_loop().time() + timeout
        return Call(
            request_id,
            time.perf_counter(),
            deadline,
            caller=_host(context.peer()),
            trace=trace_context(metadata),
            trailer={REQUEST_ID: request_id},
        )

    async def _refuse_when_stopping(self, call: Call) -> None:
        if self._closed is None:
            return
        if self._in_progress <= self._max_concurrent:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(call.deadline):
                    await self._closed.wait()
        raise Unavailable(_STOPPING)

    def _admitted(self, rpc: Rpc, call: Call, context: Context) -> AbstractContextManager[None]:
        if self._access is None:
            self._check_room()
            return nullcontext()
        key = self._access.permit(rpc.method, context.invocation_metadata())
        call.caller = key.id
        self._check_room()  # before the quota: what is refused for others' sake costs the caller nothing
        return self._access.use(key)

    def _check_room(self) -> None:
        if self._in_progress > self._max_concurrent:
            # Those in progress take about as long as the latest that was answered. Refused ones take no
            # time, and calling back after that would only add to the load.
            raise Overloaded(
                f"{self._max_concurrent} requests are in progress, the most this service takes at once.",
                retry_after_seconds=max(_LEAST_RETRY_SECONDS, self._latest_answer_seconds),
            )

    @asynccontextmanager
    async def _until(self, deadline: float) -> AsyncIterator[None]:
        if deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded(_PASSED)
        try:
            async with asyncio.timeout_at(deadline) as timeout:
                self._timeouts.add(timeout)
                try:
                    yield
                finally:
                    self._timeouts.discard(timeout)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise (
                DeadlineExceeded(_PASSED) if timeout.when() == deadline else Unavailable(_CUT_OFF)
            ) from error

    def _record(self, error: Exception, rpc: Rpc) -> Failure:
        """Count and log a failure, in the context of its request."""
        failure = describe(error)
        self._metrics.failed(failure.reason)
        facts = {"method": rpc.method, "code": failure.code.name, "reason": failure.reason}
        if failure.code is grpc.StatusCode.INTERNAL:
            _logger.error("request failed", extra=facts, exc_info=error)
        else:
            _logger.info("request refused", extra=facts | {"problem": failure.message})
        return failure


def _host(peer: str) -> str:
    """The host of a peer as gRPC writes it, without the port, which is another for every connection."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


async def _abort(failure: Failure, error: Exception, call: Call, context: Context) -> NoReturn:
    status = rich_status(failure, error, call.request_id)
    trailer = [*call.trailer.items(), (DETAILS_TRAILER, status.SerializeToString())]
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        # Clients that try again by themselves wait for this instead of their own back-off (gRFC A6).
        trailer.append((RETRY_PUSHBACK, str(round(retry_after * 1e3))))
    try:
        await context.abort(failure.code, failure.message, tuple(trailer))
    except grpc.aio.InternalError:
        # A caller who reads nothing: the last message is still on its way, and no status can overtake it.
        raise asyncio.CancelledError from None
