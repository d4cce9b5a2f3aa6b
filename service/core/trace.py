"""The trace that a call belongs to (W3C Trace Context): what is told of it where no spans are exported.

Every call has one. This one passes on what its caller sent; where spans are exported,
`service/app/tracing.py` puts another in its place, and is imported only then.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.core.metrics import ImageTimings, Rpc

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_NOTHING: Mapping[str, str] = MappingProxyType({})

# Where the trace id and the flags are in a `traceparent`, and the flag of a trace that somebody keeps.
_TRACE_ID = slice(3, 35)
_FLAGS = slice(53, 55)
_SAMPLED = 1


class Trace:
    """The trace of one call.

    Args:
        headers: `traceparent`, well-formed, and `tracestate`; or nothing.

    Attributes:
        headers: What is passed on to others.
        recorded: Whether `image` and `end` do anything.
    """

    __slots__ = ("headers",)

    recorded = False

    def __init__(self, headers: Mapping[str, str] = _NOTHING) -> None:
        self.headers = headers

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty for a call without a trace."""
        return self.headers[TRACEPARENT][_TRACE_ID] if self.headers else ""

    @property
    def sampled(self) -> bool:
        """Whether somebody keeps its spans."""
        return bool(self.headers) and bool(int(self.headers[TRACEPARENT][_FLAGS], 16) & _SAMPLED)

    def outgoing(self, name: str) -> AbstractContextManager[Mapping[str, str]]:
        """A call to another service inside this context.

        Args:
            name: What is asked for.

        Returns:
            The headers to send along.
        """
        return nullcontext(self.headers)

    def image(self, model: str, timings: ImageTimings, index: int, *, began: float, failed: bool) -> None:
        """Take note of an image that is done.

        Args:
            model: The model.
            timings: Where its time went.
            index: Which of the call's images it is.
            began: `time.perf_counter()` when it began to wait for its turn.
            failed: Whether nothing came of it.
        """

    def end(self, code: str, number: int, facts: Mapping[str, str | int | float]) -> None:
        """Take note of the call's end.

        Args:
            code: Its status, `OK` or `INVALID_ARGUMENT`.
            number: The number of that status.
            facts: What its line in the log says besides.
        """


NO_TRACE = Trace()
"""The trace of what nobody called for."""

TraceFactory = Callable[["Rpc", Mapping[str, str], float], Trace]
"""Begins the trace of a call: its method, its caller's headers, and `time.perf_counter()` at its arrival."""


def passed_on(rpc: Rpc, headers: Mapping[str, str], started: float) -> Trace:
    """The trace of a call where no spans are exported."""
    return Trace(headers) if headers else NO_TRACE
