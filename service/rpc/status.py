"""Failures as gRPC statuses: the one table, and the `google.rpc.Status` with the details that clients act on.

grpc.aio cannot abort with such a status, so its bytes travel as the trailer that gRPC reserves for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from service.core.diagnostics import RepositoryError
from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    EngineUnreachable,
    InvalidArgument,
    MaskweaveError,
    MessageTooLarge,
    ModelNotReady,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    SessionIdle,
    Unauthenticated,
    Unavailable,
)

ERROR_DOMAIN = "maskweave"
"""`google.rpc.ErrorInfo.domain` of every failure: the namespace of its reason."""

DETAILS_TRAILER = "grpc-status-details-bin"

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
    MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself says it
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


def rich_status(failure: Failure, error: BaseException, request_id: str) -> status_pb2.Status:
    """Put everything a caller is told about a failure into one status.

    Args:
        failure: What the table of errors says about it.
        error: The failure itself, for the details of its class.
        request_id: The id under which the service's log has it.
    """
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=failure.reason, domain=ERROR_DOMAIN, metadata=failure.metadata),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    match error:
        case InvalidArgument():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=error.field, description=error.description
            )
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        case NotFound():
            details.append(
                error_details_pb2.ResourceInfo(
                    resource_type=error.resource_type, resource_name=error.name, description=failure.message
                )
            )
        case QuotaExceeded():
            quota = error_details_pb2.QuotaFailure.Violation(
                subject=f"key:{error.key_id}", description=error.description
            )
            details.append(error_details_pb2.QuotaFailure(violations=[quota]))
    match error:
        case Overloaded() | QuotaExceeded() | Unavailable() if error.retry_after_seconds is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=_number(failure.code), message=failure.message, details=[_packed(detail) for detail in details]
    )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number


_GO_SPELLINGS = {grpc.StatusCode.OK: "OK", grpc.StatusCode.CANCELLED: "Canceled"}


def code_label(code: grpc.StatusCode) -> str:
    """A status code as the metrics have it, like go-grpc-prometheus: `OK`, `InvalidArgument`, `Canceled`."""
    return _GO_SPELLINGS.get(code) or code.name.title().replace("_", "")
