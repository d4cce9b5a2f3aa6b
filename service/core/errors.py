"""Every way a request or a start can fail. The table in `service/rpc/status.py` is what callers are told.

```
MaskweaveError
 +- InvalidArgument    the caller sent something that is not allowed
 +- NotFound           the caller named something that does not exist
 +- DeadlineExceeded   time ran out before the work was done
 |   +- SessionIdle        a session whose caller was silent for too long
 +- Unauthenticated    the caller sent no key, or one that is not known here
 +- PermissionDenied   the caller's key is not for this
 +- Overloaded         no room to take the work; try again later
 +- QuotaExceeded      the caller has used up what their key is granted
 +- MessageTooLarge    the caller sent more bytes than a message may have
 +- Unavailable        not serving: starting or stopping
 |   +- EngineUnreachable  the inference server is out of reach
 |   +- ModelNotReady      the inference server has lost a model that it had
 +- EngineFailure      a model could not be run; the cause is for the log, never for the caller
 +- RepositoryError    the model repository cannot be served; stops the start
ConfigurationError    settings, or a file that they name, cannot be used; stops the start
```
"""

# ruff: noqa: N818 - these are named after the gRPC statuses they become

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

from service.core.logging import redacted

# Failures travel in trailers; when these are over 8 KiB, gRPC puts a failure of its own in their place.
_MAX_VALUE_CHARS = 100
_MAX_ALLOWED_CHARS = 1000
_SHORTENED = re.compile(r"\.\.\. \(\d+ characters\)")


ShedCause = Literal[
    "queue",
    "too_late",
    "evicted",
    "rpcs",
    "sessions",
    "checks",
    "caller",
    "memory",
    "quota",
    "engine",
    "stopping",
]
"""What was full when a request was refused; `maskweave_shed_total` says what each means."""

CancelCause = Literal["caller", "deadline", "idle", "shutdown"]
"""Why a request was given up; `maskweave_cancelled_total` says what each means."""


class MaskweaveError(Exception):
    """Base of the failures this service raises on purpose.

    `reason` is stable and machine readable (UPPER_SNAKE, as in `google.rpc.ErrorInfo.reason`);
    `details` names the further google.rpc messages that callers get;
    `str(error)` is a sentence a caller can act on. For the metrics, `shed` says what was full when a
    request was refused for want of room, and `cancelled` why one was given up.
    """

    reason: ClassVar[str] = "INTERNAL"
    details: ClassVar[str] = ""
    shed: ShedCause | None = None
    cancelled: CancelCause | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts about this failure for programs (`google.rpc.ErrorInfo.metadata`)."""
        return {}


class InvalidArgument(MaskweaveError):
    """A field of the request has a value that is not allowed.

    Args:
        field: Path of the field as the caller knows it, for example `label_map.png`.
        value: What was sent, as something printable; a long one is shortened.
        allowed: What would have been accepted; a very long list is shortened.
    """

    reason = "INVALID_FIELD"
    details = "`BadRequest`"

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = _shortened(str(value))
        self.allowed = _shortened(allowed, _MAX_ALLOWED_CHARS)
        super().__init__(f"{field}: {self.description}")

    @property
    def description(self) -> str:
        """The violation without the field's name (`BadRequest.FieldViolation.description`)."""
        return f"got {self.value}; allowed: {self.allowed}"

    @property
    def metadata(self) -> Mapping[str, str]:  # noqa: D102 - inherited
        return {"field": self.field}


@contextmanager
def field_prefix(path: str) -> Iterator[None]:
    """Name the fields of failures inside this context by their path in the whole message, below `path`."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}.{error.field}", error.value, error.allowed) from error


class NotFound(MaskweaveError):
    """The caller named something that does not exist.

    Args:
        resource_type: What kind of thing, for example `model`.
        name: The name that was asked for; a long one is shortened.
        available: The names that exist; a very long list is shortened.
    """

    reason = "RESOURCE_NOT_FOUND"
    details = "`ResourceInfo`"

    def __init__(self, resource_type: str, name: str, available: Iterable[str] = ()) -> None:
        self.resource_type = resource_type
        self.name = _shortened(name)
        self.available = tuple(sorted(available))
        listed = _shortened(", ".join(self.available), _MAX_ALLOWED_CHARS) or "none"
        super().__init__(f"{resource_type} {self.name!r} does not exist; available: {listed}")

    @property
    def metadata(self) -> Mapping[str, str]:  # noqa: D102 - inherited
        return {"resource_type": self.resource_type, "resource_name": self.name}


def _shortened(text: str, most: int = _MAX_VALUE_CHARS) -> str:
    cut, rest = text[:most], text[most:]
    # What has been shortened stays as it is: fields get their prefix later, one or several.
    return text if not rest or _SHORTENED.fullmatch(rest) else f"{cut}... ({len(text)} characters)"


class DeadlineExceeded(MaskweaveError):
    """Time ran out before the work was done."""

    reason = "DEADLINE_EXCEEDED"
    cancelled: CancelCause | None = "deadline"


class SessionIdle(DeadlineExceeded):
    """A session ended because its caller sent nothing, or took no frame, for too long."""

    reason = "SESSION_IDLE"
    cancelled = "idle"


class Unauthenticated(MaskweaveError):
    """The caller sent no key, or one that is not known here. The message never has the key."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(MaskweaveError):
    """The caller is known, but their key is not for this.

    Args:
        key_id: The id of the key, which is no secret.
        scopes: The scopes of the key.
        needed: The scopes of which it needs one.
    """

    reason = "PERMISSION_DENIED"

    def __init__(self, key_id: str, scopes: Iterable[str], needed: Iterable[str]) -> None:
        self.key_id = key_id
        self.needed = tuple(sorted(needed))
        super().__init__(
            f"The key {key_id!r} has the scopes {', '.join(sorted(scopes))}; "
            f"this needs {' or '.join(self.needed)}."
        )

    @property
    def metadata(self) -> Mapping[str, str]:  # noqa: D102 - inherited
        return {"key_id": self.key_id, "needed_scopes": ",".join(self.needed)}


class QuotaExceeded(MaskweaveError):
    """The caller has used up what their key is granted. Others are not affected.

    Args:
        key_id: The id of the key.
        quota: Which of the key's limits was met, by its name in the file of keys.
        limit: Its value.
        retry_after_seconds: When the next request will be taken; None when that depends on the caller's own
            requests in progress.
    """

    reason = "QUOTA_EXCEEDED"
    shed = "quota"
    details = "`QuotaFailure`, and `RetryInfo` when it can be said"

    def __init__(self, key_id: str, quota: str, limit: float, retry_after_seconds: float | None) -> None:
        self.key_id = key_id
        self.quota = quota
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"The key {key_id!r} is at its limit: {self.description}.")

    @property
    def description(self) -> str:
        """The limit that was met (`QuotaFailure.Violation.description`)."""
        return f"{self.quota} {self.limit:g}"

    @property
    def metadata(self) -> Mapping[str, str]:  # noqa: D102 - inherited
        return {"key_id": self.key_id, "quota": self.quota, "limit": f"{self.limit:g}"}


class Overloaded(MaskweaveError):
    """There is no room to take the request now.

    Args:
        message: Which limit was met.
        retry_after_seconds: When trying again makes sense.
        cause: What was full, for the metrics.
    """

    reason = "OVERLOADED"
    details = "`RetryInfo`"

    def __init__(self, message: str, retry_after_seconds: float, *, cause: ShedCause) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.shed = cause


class MessageTooLarge(MaskweaveError):
    """The message has more bytes than are taken.

    Args:
        most: The most that are taken, as they travel.
    """

    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"The message has more than {most} bytes, the most that are taken.")

    @property
    def metadata(self) -> Mapping[str, str]:  # noqa: D102 - inherited
        return {"most": str(self.most)}


class Unavailable(MaskweaveError):
    """The service, or the engine behind it, is not serving at the moment.

    Args:
        message: What is not there.
        retry_after_seconds: When trying again makes sense; None when that cannot be said.
        shed: Set when it is refused because of the stop.
        cancelled: Set when it is given up because of the stop.
    """

    reason = "UNAVAILABLE"
    details = "`RetryInfo` when it can be said"

    def __init__(
        self,
        message: str,
        retry_after_seconds: float | None = None,
        *,
        shed: ShedCause | None = None,
        cancelled: CancelCause | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.shed = shed
        self.cancelled = cancelled


class EngineUnreachable(Unavailable):
    """The inference server is out of reach: it is down, restarting, or the network is."""

    reason = "ENGINE_UNREACHABLE"
    details = "`RetryInfo`"


class ModelNotReady(Unavailable):
    """The inference server answers, but a model that it had at start is missing or not ready."""

    reason = "MODEL_NOT_READY"
    details = "`RetryInfo`"


class EngineFailure(MaskweaveError):
    """A model that loaded could not be run. The message is for the log only."""

    reason = "ENGINE_FAILURE"


class ConfigurationError(ValueError):
    """Settings, or a file that they name, cannot be used. The text contains no secrets.

    Args:
        problems: Every problem found, one line each: where it is, what is there, what is allowed.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(redacted, problems))
        super().__init__("\n".join(self.problems))
