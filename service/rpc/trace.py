"""The caller's trace context: https://www.w3.org/TR/trace-context/, version 00."""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

# Version, trace id, parent id, flags; ids of zeros only are invalid. Later versions may only add at the end.
_TRACEPARENT_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]+)?"
)
_MAX_TRACESTATE_CHARS = 512


def trace_context(metadata: Mapping[str, str | bytes]) -> Mapping[str, str]:
    """The headers to pass on; nothing when `traceparent` is missing or malformed, as the standard asks.

    A `tracestate` is passed on as it is, unless it is longer than the standard says must be carried.
    """
    parent = metadata.get(TRACEPARENT)
    if not isinstance(parent, str) or not _TRACEPARENT_FORM.fullmatch(parent):
        return {}
    state = metadata.get(TRACESTATE)
    if isinstance(state, str) and 0 < len(state) <= _MAX_TRACESTATE_CHARS:
        return {TRACEPARENT: parent, TRACESTATE: state}
    return {TRACEPARENT: parent}
