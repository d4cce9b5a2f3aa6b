"""Failures as rich statuses: `google.rpc.Status` with the details that clients act on.

grpc.aio cannot abort with such a status, so its bytes travel as the trailer that gRPC reserves for it.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from service.core.errors import InvalidArgument, NotFound, Overloaded, QuotaExceeded, Unavailable
from service.core.statuses import Failure

ERROR_DOMAIN = "maskweave"
"""`google.rpc.ErrorInfo.domain` of every failure: the namespace of its reason."""

DETAILS_TRAILER = "grpc-status-details-bin"


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
