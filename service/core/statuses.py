"""The one table from failures to gRPC statuses, and what a caller is told about any exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    EngineUnreachable,
    InvalidArgument,
    MaskweaveError,
    ModelNotReady,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    RepositoryError,
    SessionIdle,
    Unauthenticated,
    Unavailable,
)

_INTERNAL_MESSAGE = "The request failed inside the service; its log has the details under this request id."

STATUS_CODES: Mapping[type[BaseException], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    SessionIdle: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    EngineUnreachable: grpc.StatusCode.UNAVAILABLE,
    ModelNotReady: grpc.StatusCode.UNAVAILABLE,
    EngineFailure: grpc.StatusCode.INTERNAL,
    RepositoryError: grpc.StatusCode.INTERNAL,
    asyncio.CancelledError: grpc.StatusCode.CANCELLED,
}
"""The one place where a failure becomes a status; whatever is not listed is a bug, INTERNAL."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told about an exception.

    Attributes:
        code: gRPC status code.
        reason: Stable UPPER_SNAKE reason.
        message: A sentence that is safe to send; never a stack trace or a path.
        metadata: Facts for programs.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str]


def describe(error: BaseException) -> Failure:
    """Say what a caller is told about any exception, by the table above."""
    code = next((STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES), None)
    if code is grpc.StatusCode.CANCELLED:
        return Failure(code, "CANCELLED", "The request was cancelled by its caller.", {})
    if code is None or not isinstance(error, MaskweaveError):
        return Failure(grpc.StatusCode.INTERNAL, MaskweaveError.reason, _INTERNAL_MESSAGE, {})
    message = _INTERNAL_MESSAGE if code is grpc.StatusCode.INTERNAL else str(error)
    return Failure(code, error.reason, message, error.metadata)
