"""Every way a call can fail.

```
MaskweaveError
 +- InvalidRequest     a field of the request is not allowed; `violations` say which and why
 +- NotFound           there is no such model
 +- DeadlineExceeded   no answer within the timeout
 +- Unauthenticated    the service asks for a key, and there was none or not one that it knows
 +- PermissionDenied   the key is not for this
 +- Overloaded         the service is busy or the key at its limit (`reason` QUOTA_EXCEEDED), see
 |                     `retry_after_seconds`; or the message is too large
 +- Unavailable        the service cannot be reached, is starting or is stopping
 +- Cancelled          the call was cancelled
 +- ServiceFailure     the service failed; its log has the details under `request_id`
```
"""

# ruff: noqa: N818 - they are named after what happened

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

_DETAILS_TRAILER = "grpc-status-details-bin"
_PUSHBACK_TRAILER = "grpc-retry-pushback-ms"


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that is not allowed.

    Attributes:
        field: Its path in the request, for example `label_map.png`.
        description: What was sent and what is allowed.
    """

    field: str
    description: str


class MaskweaveError(Exception):
    """Base of all failures of calls.

    Attributes:
        code: gRPC status code.
        reason: Stable UPPER_SNAKE reason given by the service; empty when the call did not reach it.
        metadata: Further facts given by the service.
        request_id: Id of the request in the service's log; empty when the call did not reach it.
        violations: Fields at fault; empty unless the request is.
        retry_after_seconds: When the service asks to try again; None when it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
        violations: tuple[FieldViolation, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.request_id = request_id
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(MaskweaveError):
    """A field of the request is not allowed."""


class NotFound(MaskweaveError):
    """There is no such model."""


class DeadlineExceeded(MaskweaveError):
    """There was no answer within the timeout."""


class Unauthenticated(MaskweaveError):
    """The service asks for a key, and there was none or not one that it knows."""


class PermissionDenied(MaskweaveError):
    """The key is not for this; `metadata` has the scopes that it would need."""


class Overloaded(MaskweaveError):
    """The service is busy, the key is at one of its limits, or the message is larger than it takes.

    `reason` is `OVERLOADED`, `QUOTA_EXCEEDED`, or empty for a message that is too large.
    """


class Unavailable(MaskweaveError):
    """The service cannot be reached, is starting or is stopping."""


class Cancelled(MaskweaveError):
    """The call was cancelled."""


class ServiceFailure(MaskweaveError):
    """The service failed, or answered with a status that this client does not know."""


_CLASSES: Mapping[grpc.StatusCode, type[MaskweaveError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def failure_of(ended: Any) -> MaskweaveError:
    """Make the exception for what gRPC raises, or for a call that has ended."""
    return error_from_rpc(ended.code(), ended.details() or "", ended.trailing_metadata() or ())


def error_from_rpc(
    code: grpc.StatusCode, message: str, trailer: Iterable[tuple[str, str | bytes]]
) -> MaskweaveError:
    """Make the exception for a status, with all that its details say."""
    trailers = dict(iter(trailer))  # not by keys: the type of older grpc.aio has others
    details = trailers.get(_DETAILS_TRAILER)
    status = status_pb2.Status()
    if isinstance(details, bytes):
        with suppress(DecodeError):  # not the service's: a proxy on the way may answer in its place
            status.ParseFromString(details)
    reason = request_id = ""
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_after_seconds = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.RequestInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(request):
            request_id = request.request_id
        elif detail.Unpack(bad_request):
            violations += [FieldViolation(v.field, v.description) for v in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    if _PUSHBACK_TRAILER in trailers:  # for libraries that retry by themselves; below 0 it says never
        retry_after_seconds = _pushback_seconds(trailers[_PUSHBACK_TRAILER], retry_after_seconds)
    return _CLASSES.get(code, ServiceFailure)(
        message,
        code=code,
        reason=reason,
        metadata=metadata,
        request_id=request_id,
        violations=tuple(violations),
        retry_after_seconds=retry_after_seconds,
    )


def _pushback_seconds(value: str | bytes, told: float | None) -> float | None:
    """What the trailer says, or `told` where that says it more exactly; None for "do not try again"."""
    try:
        milliseconds = int(value)
    except ValueError:
        return None
    if milliseconds < 0:
        return None
    return milliseconds / 1e3 if told is None else told
