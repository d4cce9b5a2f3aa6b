"""Renders `docs/errors.md` from the table of failures; `make errors-page` writes it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping

import grpc

from service.core.errors import MaskweaveError, MessageTooLarge, SessionIdle
from service.rpc.status import STATUS_CODES
from service.rpc.web.protocols import End

_INTRODUCTION = """\
# Errors

Every error that a call of the service can end with: its status over gRPC and HTTP, the details that it
carries, and whether to retry.

An error is a gRPC status with a `google.rpc.Status` in the trailer `grpc-status-details-bin`. It always
carries `ErrorInfo` (`domain` is `maskweave`; `reason` is stable, programs should use it) and `RequestInfo`
(the id under which the service's log has the call). Over HTTP it is an error of Connect with the same
details, under the HTTP status of the table, or gRPC-Web's status ([web.md](web.md)).

Generated from [service/rpc/status.py](../service/rpc/status.py) and
[service/core/errors.py](../service/core/errors.py) by `make errors-page`; a test compares.

| reason | status | HTTP | what happened | also carries | retry? |
|---|---|---|---|---|---|
"""

_CLOSING = """
## A client that retries well
- Give every call a deadline. The service gives calls without one its own (30 s unless configured);
  sessions of `Paint` may do without.
- On UNAVAILABLE and RESOURCE_EXHAUSTED (except MESSAGE_TOO_LARGE) wait for `RetryInfo.retry_delay` if
  there is one, else 0.1 s, doubled each time up to 2 s, both with jitter, and stop at the deadline. gRPC's
  own retries find the same time in the trailer `grpc-retry-pushback-ms`. A retry is safe: with the same
  seed it gives the same image. Set `seed` before the first attempt, or the second one draws another.
- On DEADLINE_EXCEEDED do not retry with the same deadline: the service already refuses at once what it
  expects to be late.
- Never retry INVALID_ARGUMENT, NOT_FOUND or INTERNAL: the answer will be the same.
  `BadRequest.field_violations` name the fields; INTERNAL's `RequestInfo.request_id` is what to report.
- Errors of gRPC itself come without details: no connection (UNAVAILABLE), a message over
  `Limits.max_request_bytes` (RESOURCE_EXHAUSTED; over HTTP the service's own, MESSAGE_TOO_LARGE), an unknown
  method (UNIMPLEMENTED), a cancelled call (CANCELLED). A CANCELLED that you did not ask for is a call that
  arrived while the service was stopping: add it to the retry policy beside UNAVAILABLE.

`maskweave-client` retries by these rules, three times at most, and raises every error as an exception with
the same facts ([client/README.md](../client/README.md)).
"""

_RETRY = {
    "INVALID_ARGUMENT": "no: correct the request",
    "UNAUTHENTICATED": "no: send a key that is known",
    "PERMISSION_DENIED": "no: the key is not for this",
    "NOT_FOUND": "no: `ListModels` has what exists",
    "DEADLINE_EXCEEDED": "with a longer deadline",
    "RESOURCE_EXHAUSTED": "after `retry_delay`",
    "UNAVAILABLE": "after `retry_delay` if given, else with back-off",
    "INTERNAL": "no: report the request id",
}
"""What to do about each status."""

_RETRY_OF_KIND: Mapping[type[BaseException], str] = {
    SessionIdle: "begin a new session",
    MessageTooLarge: "no: send less",
}
"""What to do where the status does not say it."""


def errors_page() -> str:
    """The whole page."""
    rows = [_row(kind, code) for kind, code in STATUS_CODES.items() if issubclass(kind, MaskweaveError)]
    rows.append("| `INTERNAL` | INTERNAL | 500 | A defect of the service. | - | no: report the request id |")
    return _INTRODUCTION + "\n".join(rows) + "\n" + _CLOSING


def _row(kind: type[MaskweaveError], code: grpc.StatusCode) -> str:
    status = f"{code.name} | {End(code).http_status}"
    return f"| `{kind.reason}` | {status} | {_meaning(kind)} | {kind.details or '-'} | {_retry(kind, code)} |"


def _retry(kind: type[BaseException], code: grpc.StatusCode) -> str:
    return _RETRY_OF_KIND.get(kind, _RETRY[code.name])


def _meaning(kind: type[MaskweaveError]) -> str:
    """The first paragraph of the class's docstring, on one line."""
    paragraph = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


if __name__ == "__main__":
    sys.stdout.write(errors_page())
