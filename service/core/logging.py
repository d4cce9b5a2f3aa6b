"""What lines of the log are about, and what is kept out of everything that is written.

Facts go into `extra=`, never into the message; the request id is added by itself inside `request_context`.
How lines look is in `log_lines.py`.

No code here prints a key on purpose. But callers put keys into the wrong field and operators into the wrong
setting, and error messages repeat what was sent; so all text that leaves passes through `redacted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
