"""Structured logging on the standard library, and what is kept out of everything that is written.

Text for people, JSON for machines. Facts go into `extra=`, never into the message; the request id is added by
itself inside `request_context`. Contents of requests do not belong into a log: binary values are written as
their size.

No code here prints a key on purpose. But callers put keys into the wrong field and operators into the wrong
setting, and error messages repeat what was sent; so all text that leaves passes through `redacted`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any, Literal

KEY_PREFIX = "mwk_"
"""How every API key starts, so that people and secret scanners recognise one."""

_SECRETS = re.compile(
    rf"(?P<key>{KEY_PREFIX})[A-Za-z0-9._-]{{16,}}"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redacted(text: str) -> str:
    """The text with API keys and private keys in PEM form replaced by asterisks."""
    return _SECRETS.sub(lambda found: f"{found['key'] or found['pem']}***", text)


_request_id: ContextVar[str] = ContextVar("request_id", default="")
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(level: str, log_format: Literal["text", "json"], stream: IO[str] | None = None) -> None:
    """Send all logging of the process to `stream` (standard error by default) in one form."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    """Add `request_id` to every line logged inside, in this task and the tasks it starts."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def set_request_id(request_id: str) -> None:
    """Add `request_id` to every line that this task, and those it starts, log from now on."""
    _request_id.set(request_id)


def current_request_id() -> str:
    """The id of the request being handled; empty outside of one."""
    return _request_id.get()


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` with its facts as keys."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redacted(json.dumps(entry, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """Time, level, message, then the facts as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` on one line, followed by its traceback when it has one."""
        facts = "".join(
            f" {name}={json.dumps(value, ensure_ascii=False, default=str)}"
            for name, value in _facts(record).items()
        )
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{facts}"
        return redacted(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = {
        name: _printable(value) for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES
    }
    request_id = _request_id.get()
    if request_id:
        facts.setdefault("request_id", request_id)
    return facts


def _printable(value: object) -> object:
    size = len(value) if isinstance(value, (bytes, bytearray)) else getattr(value, "nbytes", None)
    return value if size is None else f"<{size} bytes>"
