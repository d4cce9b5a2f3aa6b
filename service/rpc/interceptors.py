"""What happens to a call before its method: it gets an id, and whoever needs a key for it is asked for one.

Interceptors see the headers of a call, and run in the task that goes on with it: what they find out is kept
in context variables of that task.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import grpc

from maskweave.v1 import synthesis_pb2 as pb
from service.access.keys import KeyEntry
from service.core.errors import PermissionDenied, Unauthenticated
from service.core.limits import LIMITS
from service.core.logging import set_request_id
from service.core.trace import TRACEPARENT, TRACESTATE
from service.rpc.access import Access

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SynthesisService"].full_name
"""`maskweave.v1.SynthesisService`, also the name that health checks use."""

REQUEST_ID = "x-request-id"

_REQUEST_ID_FORM = re.compile(rf"[\x21-\x7e]{{1,{LIMITS.max_request_id_chars}}}")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # only the type stubs have its parameters
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


class ArrivedRequest(NamedTuple):
    """A call as its headers tell of it.

    Attributes:
        request_id: The caller's id, or one made up here.
        started: `time.perf_counter()` at its arrival.
        trace: The caller's trace context: `traceparent` and `tracestate`, or nothing.
    """

    request_id: str
    started: float
    trace: Mapping[str, str]


_arrived: ContextVar[ArrivedRequest | None] = ContextVar("arrived_request", default=None)
_key: ContextVar[KeyEntry | None] = ContextVar("key", default=None)


# The bits of a UUID that say its variant and its version, and what they say in a random one (RFC 9562, 5.4).
_NOT_OF_UUID4 = ~(0xF << 76 | 0x3 << 62)
_UUID4 = 0x4 << 76 | 0x2 << 62


def _new_id() -> str:
    """A random UUID, which nobody needs to be unable to guess: so without a call of the system for each."""
    bits = random.getrandbits(128)
    return f"{bits & _NOT_OF_UUID4 | _UUID4:032x}"


def current_request() -> ArrivedRequest:
    """The call that this task is for."""
    return _arrived.get() or ArrivedRequest(_new_id(), time.perf_counter(), {})


def current_key() -> KeyEntry | None:
    """The key that the call of this task came with; None where authentication is disabled."""
    return _key.get()


class RequestIds(grpc.aio.ServerInterceptor):
    """Gives every call an id, the caller's own where that is usable, for log, reply and inference server."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Take note of the id, the time and the trace context."""
        metadata = dict(handler_call_details.invocation_metadata or ())
        given = metadata.get(REQUEST_ID, "")
        usable = isinstance(given, str) and _REQUEST_ID_FORM.fullmatch(given)
        request_id = str(given) if usable else _new_id()
        _arrived.set(ArrivedRequest(request_id, time.perf_counter(), trace_context(metadata)))
        set_request_id(request_id)
        return await continuation(handler_call_details)


class Authentication(grpc.aio.ServerInterceptor):
    """Asks for a key before anything of a call but its headers is read.

    Args:
        access: Knows the keys.
        closed_services: Services besides the gateway's own that need a key, of whatever scope.
        refuse: Makes the handler that refuses a call of a method, for a reason.
    """

    def __init__(
        self,
        access: Access,
        closed_services: Collection[str],
        refuse: Callable[[str, Exception], Handler],
    ) -> None:
        self._access = access
        self._closed_services = frozenset(closed_services)
        self._refuse = refuse

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Put a refusal in the place of the method when the key is missing, unknown or not for this."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        service, _, method = path.strip("/").partition("/")
        if handler is None:
            return None
        try:
            if service == SERVICE_NAME:
                _key.set(self._access.permit(method, handler_call_details.invocation_metadata))
            elif service in self._closed_services:
                _key.set(self._access.identify(handler_call_details.invocation_metadata))
        except (Unauthenticated, PermissionDenied) as error:
            return self._refuse(path, error)
        return handler


# Version, trace id, parent id, flags; ids of zeros only are invalid. Versions after 00 may add at the end.
_TRACEPARENT_FORM = re.compile(
    r"(?!ff|00.{53}-)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]+)?"
)

# Nobody must carry more. What gRPC would not send has come around gRPC: passed on, it would fail the call.
_TRACESTATE_FORM = re.compile(r"[\x20-\x7e]{1,512}")


def trace_context(metadata: Mapping[str, str | bytes]) -> Mapping[str, str]:
    """The headers to pass on; nothing when `traceparent` is missing or malformed, as the standard asks.

    A `tracestate` is passed on as it is, unless it is longer than the standard says must be carried, or has
    anything but visible ASCII and spaces.
    """
    parent = metadata.get(TRACEPARENT)
    if not isinstance(parent, str) or not _TRACEPARENT_FORM.fullmatch(parent):
        return {}
    state = metadata.get(TRACESTATE)
    if isinstance(state, str) and _TRACESTATE_FORM.fullmatch(state):
        return {TRACEPARENT: parent, TRACESTATE: state}
    return {TRACEPARENT: parent}
