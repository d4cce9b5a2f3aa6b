"""The lifetime of a call, whatever its method: counted, bounded, measured, and one way to fail.

Every method is served as a stream of bytes, the unary ones too: gRPC knows no difference on the wire, and in
this way a call is in our hands from its headers on. Its key is checked, its deadline runs and it is counted
before the first byte of a message is read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NoReturn, Protocol

import grpc

from service.access.callers import TrustedProxies, caller_address
from service.access.keys import KeyEntry
from service.access.quota import TokenBucket
from service.core.errors import DeadlineExceeded, MaskweaveError, Unavailable
from service.core.limits import CallLimits
from service.core.metrics import MethodMetrics, Metrics, Rpc
from service.core.trace import TraceFactory, passed_on
from service.rpc.access import Access, Metadata
from service.rpc.admission import Admission, Kind
from service.rpc.call import Behaviour, Call, Context
from service.rpc.call_end import call_ended, forget_frames
from service.rpc.interceptors import REQUEST_ID, SERVICE_NAME, current_key, current_request
from service.rpc.memory import UnsentReplies
from service.rpc.messages.replies import server_timing
from service.rpc.status import DETAILS_TRAILER, Failure, describe, rich_status

SERVER_TIMING = "server-timing"
RETRY_PUSHBACK = "grpc-retry-pushback-ms"

_PASSED = "The deadline passed before the answer was ready."
_STOPPING = "This gateway is stopping."
_CUT_OFF = "This gateway is stopping, and the request was not done within the grace."

# Kept back from the caller's deadline, so that a late answer still reaches them as ours.
_DEADLINE_MARGIN_SECONDS = 0.005

# Of calls without a valid key: a second, and at once after a pause. They cost whoever sends them nothing.
_LINES_OF_STRANGERS = (10.0, 100.0)

_logger = logging.getLogger(__name__)


_METHOD_TYPES: Mapping[str, Literal["unary", "server_stream", "bidi_stream"]] = {
    "SynthesizeStream": "server_stream",
    "Morph": "server_stream",
    "Paint": "bidi_stream",
    "Watch": "server_stream",
    "ServerReflectionInfo": "bidi_stream",
}
"""What methods are in the metrics that are not unary."""


def direct_address(peer: str, metadata: Metadata) -> str:
    """The address of the other end of the connection: no proxy is believed."""
    return caller_address(peer, metadata, "", TrustedProxies())


class HandlerServer(Protocol):
    """What takes calls: gRPC's server, or one for other connections."""

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Serve the methods of these handlers."""


class Calls:
    """Takes calls in and sees them out.

    Args:
        metrics: Counts them.
        limits: Their bounds.
        access: Holds keys to their limits; None where authentication is disabled.
        address: Tells the address that a call came from, where authentication is disabled.
        begin_trace: Begins the traces of calls.
        logged: Whether every call has a line in the log.
    """

    def __init__(
        self,
        metrics: Metrics,
        limits: CallLimits,
        access: Access | None = None,
        *,
        address: Callable[[str, Metadata], str] = direct_address,
        begin_trace: TraceFactory = passed_on,
        logged: bool = True,
    ) -> None:
        self._metrics = metrics
        self._limits = limits
        self._access = access
        self._address = address
        self._begin_trace = begin_trace
        self._logged = logged
        self._lines_of_strangers = TokenBucket(time.monotonic(), *_LINES_OF_STRANGERS)
        self._admission = Admission(limits, access)
        self._unsent = UnsentReplies()
        self._timeouts: set[asyncio.Timeout] = set()
        self._closed: asyncio.Event | None = None
        self.held = 0  # calls that have come since `stop` and were held

    @property
    def open_sessions(self) -> int:
        """Sessions in progress."""
        return self._admission.open_sessions

    def serve(
        self, server: HandlerServer, service: str, methods: Mapping[str, tuple[Kind, Behaviour]]
    ) -> None:
        """Serve the methods of a service: what each takes up, and what answers its calls."""
        handlers = {
            method: self.handler(_rpc(service, method), kind, behaviour)
            for method, (kind, behaviour) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def handler(self, rpc: Rpc, kind: Kind, behaviour: Behaviour) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of a method, of bytes."""
        method = self._metrics.method(rpc) if kind.measured else None

        async def handle(_: object, context: Context) -> None:
            await self._serve(rpc, method, kind, behaviour, context)

        async def handle_one(requests: object, context: Context) -> bytes | None:
            # gRPC gives an iterator of requests; who gives none takes messages from `write` alone.
            return await self._serve(rpc, method, kind, behaviour, context, joined=requests is not None)

        if kind is Kind.WORK and rpc.type == "unary":
            return grpc.stream_unary_rpc_method_handler(handle_one)
        return grpc.stream_stream_rpc_method_handler(handle)

    def refusal(self, path: str, error: Exception) -> grpc.RpcMethodHandler[Any, Any]:
        """A handler that refuses: counted as other calls of the service are, but nothing of it is read.

        Args:
            path: Of a method that exists, `/package.Service/Method`.
            error: Why it is refused.
        """
        service, _, method = path.strip("/").partition("/")

        async def refuse(_: Call) -> None:
            raise error

        kind = Kind.LOOKUP if service == SERVICE_NAME else Kind.CHECK
        return self.handler(_rpc(service, method), kind, refuse)

    def stop(self, *, grace_seconds: float) -> None:
        """Take no new calls. Those in progress go on, and become UNAVAILABLE at the end of the grace.

        New ones are held until `refuse_held`, so that their callers send nothing while gRPC shuts down, which
        would kill it as CANCELLED.
        """
        self._closed = asyncio.Event()
        end = asyncio.get_running_loop().time() + grace_seconds
        for timeout in self._timeouts:
            when = timeout.when()
            if (when is None or when > end) and not timeout.expired():
                timeout.reschedule(end)

    def refuse_held(self) -> None:
        """Refuse the calls that are held since `stop`, and all later ones at once, as UNAVAILABLE."""
        if self._closed is not None:
            self._closed.set()

    async def _serve(
        self,
        rpc: Rpc,
        method: MethodMetrics | None,
        kind: Kind,
        behaviour: Behaviour,
        context: Context,
        *,
        joined: bool = False,
    ) -> bytes | None:
        """Answer one call: whatever it raises becomes its status.

        Returns:
            Where `joined`, the reply: gRPC sends it in one go with the status.
        """
        key = current_key()
        call = self._begin(rpc, method, kind, context, key)
        call.joined = joined
        failure: Failure | None = None
        if method is not None:
            method.began()
        try:
            with self._admission.counted:
                if kind.measured and self._closed is not None:
                    await self._refuse_when_stopping(call, self._closed)
                with (
                    self._admission.admitted(kind, call.caller, key if kind.measured else None),
                    self._admission.memory.held(call.caller) as call.memory,
                ):
                    await self._until(call.deadline, behaviour(call))
            if call.reply is not None:
                self._unsent.hold(call.caller, len(call.reply), call.deadline)
                call.sent(call.reply)
            if kind is Kind.WORK:
                self._admission.answered(call.elapsed_seconds)
            context.set_trailing_metadata(_last_words(kind, call))
            return call.reply
        except asyncio.CancelledError as error:
            # gRPC cancels a call at its deadline too, and a busy event loop may hear of that first.
            passed = asyncio.get_running_loop().time() >= call.deadline
            failure = self._failure(DeadlineExceeded(_PASSED) if passed else error, rpc, kind)
            raise
        except Exception as error:
            failure = self._failure(error, rpc, kind)
            if failure.code is not grpc.StatusCode.INTERNAL:  # those are in the log, with their stack trace
                forget_frames(error)
            await _abort(failure, error, call)
        finally:
            if method is not None:
                call_ended(call, rpc, method, failure, logged=self._logged and self._worth_a_line(failure))

    def _worth_a_line(self, failure: Failure | None) -> bool:
        """Whether a call is worth a line: whoever has no key shall not push all others out of the log."""
        if failure is None or failure.code is not grpc.StatusCode.UNAUTHENTICATED:
            return True
        return not self._lines_of_strangers.take(time.monotonic())

    def _begin(
        self, rpc: Rpc, method: MethodMetrics | None, kind: Kind, context: Context, key: KeyEntry | None
    ) -> Call:
        arrived = current_request()
        remaining = context.time_remaining()
        if remaining is not None:
            timeout = remaining - _DEADLINE_MARGIN_SECONDS
        else:
            timeout = math.inf if kind.endless else self._limits.timeout_seconds
        return Call(
            caller=self._address(context.peer(), context.invocation_metadata() or ())
            if key is None
            else key.id,
            request_id=arrived.request_id,
            deadline=asyncio.get_running_loop().time() + timeout,
            trace=(self._begin_trace if kind.measured else passed_on)(rpc, arrived.trace, arrived.started),
            started=arrived.started,
            key_id="" if key is None else key.id,
            metrics=method,
            channel=context,
            pending=self._admission.pending(kind),
            message_seconds=self._limits.message_seconds if kind.measured else self._limits.check_seconds,
            message_bytes=None if kind.measured else self._limits.check_bytes,
            permit=self._permit_of(key, rpc),
        )

    def _permit_of(self, key: KeyEntry | None, rpc: Rpc) -> Callable[[], None]:
        if self._access is None or key is None:
            return _permitted
        return partial(self._access.check_session, key, rpc.method)

    async def _refuse_when_stopping(self, call: Call, closed: asyncio.Event) -> None:
        if self._admission.in_progress <= self._limits.concurrent_rpcs:
            self.held += 1
            with suppress(TimeoutError):
                async with asyncio.timeout_at(call.deadline):
                    await closed.wait()
        raise Unavailable(_STOPPING, shed="stopping")

    async def _until(self, deadline: float, work: Awaitable[None]) -> None:
        if deadline <= asyncio.get_running_loop().time():
            _close(work)
            raise DeadlineExceeded(_PASSED)
        try:
            async with asyncio.timeout_at(deadline if math.isfinite(deadline) else None) as timeout:
                self._timeouts.add(timeout)
                try:
                    await work
                finally:
                    self._timeouts.discard(timeout)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise (
                DeadlineExceeded(_PASSED)
                if timeout.when() == deadline
                else Unavailable(_CUT_OFF, cancelled="shutdown")
            ) from error

    def _failure(self, error: BaseException, rpc: Rpc, kind: Kind) -> Failure:
        """Count a failure, and log what callers are not told of it, in the context of its request."""
        failure = describe(error)
        if isinstance(error, asyncio.CancelledError):
            if kind.measured:
                self._metrics.cancelled("caller")
            return failure
        if kind.measured:  # alerts compare failures with the RPCs that are counted
            self._metrics.failed(failure.reason)
        if isinstance(error, MaskweaveError):
            if error.shed is not None:
                self._metrics.shed(error.shed)
            if error.cancelled is not None and kind.measured:
                self._metrics.cancelled(error.cancelled)
        if failure.code is grpc.StatusCode.INTERNAL:
            facts = {"method": rpc.method, "code": failure.code.name, "reason": failure.reason}
            _logger.error("request failed", extra=facts, exc_info=error)
        return failure


def _close(work: Awaitable[None]) -> None:
    if asyncio.iscoroutine(work):
        work.close()


def _rpc(service: str, method: str) -> Rpc:
    return Rpc(service, method, _METHOD_TYPES.get(method, "unary"))


def _permitted() -> None:
    """Nothing forbids it."""


def _last_words(kind: Kind, call: Call) -> tuple[tuple[str, str], ...]:
    """The trailing metadata of a call that went well."""
    request_id = (REQUEST_ID, call.request_id)
    if kind is not Kind.WORK:
        return (request_id,)
    return request_id, (SERVER_TIMING, server_timing(call.timings, call.elapsed_seconds))


async def _abort(failure: Failure, error: Exception, call: Call) -> NoReturn:
    status = rich_status(failure, error, call.request_id)
    trailer: list[tuple[str, str | bytes]] = [
        (REQUEST_ID, call.request_id),
        (DETAILS_TRAILER, status.SerializeToString()),
    ]
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        # Clients that try again by themselves wait for this instead of their own back-off (gRFC A6).
        # Not 0: gRPC 1.85 then never tries again, and never ends the call either.
        trailer.append((RETRY_PUSHBACK, str(max(1, round(retry_after * 1e3)))))
    try:
        await call.channel.abort(failure.code, failure.message, tuple(trailer))
    except grpc.aio.InternalError:
        # A caller who reads nothing: the last message is still on its way, and no status can overtake it.
        raise asyncio.CancelledError from None
