"""How many calls there may be: of each kind in all and of one caller, by key, and of requests on their way.

gRPC keeps what has arrived of a message until the rest is there. It asks a caller to send only once somebody
waits for the message; until then a few of its frames are all that is held. So a call waits for its request
only after it was given a place here: of those in all, and of those of its caller. Sessions, which always
wait for a message, have bounds of their own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from enum import Enum

from service.access.keys import KeyEntry
from service.core.errors import Overloaded
from service.core.limits import CallLimits
from service.rpc.access import Access

# The soonest that a refused caller is asked to come back: an answer of ListModels says little of images.
_MIN_RETRY_SECONDS = 0.05

# A session ends when its caller likes: there is no telling, but trying again at once is no use.
_SESSION_RETRY_SECONDS = 1.0


class Kind(Enum):
    """What a call takes up.

    `LOOKUP` costs next to nothing and is never refused for lack of room. `WORK` makes images. `SESSION` stays
    open for as long as its caller likes, has no deadline but its caller's, and each of its
    images is admitted by itself.
    """

    LOOKUP = "lookup"
    WORK = "work"
    SESSION = "session"


class Admission:
    """The places of the calls of one gateway. Belongs to one event loop.

    Args:
        limits: How many there are.
        access: Holds keys to their limits; None where authentication is disabled.

    Attributes:
        pending: Places for those who wait for a request.
    """

    def __init__(self, limits: CallLimits, access: Access | None) -> None:
        self._limits = limits
        self._access = access
        self.pending = PendingMessages(
            in_all=limits.pending_messages, per_caller=limits.pending_messages_per_caller
        )
        self._in_progress = dict.fromkeys(Kind, 0)
        self._sessions_by_caller: Counter[str] = Counter()
        self._latest_answer_seconds = 0.0

    @property
    def open_sessions(self) -> int:
        """Sessions in progress."""
        return self._in_progress[Kind.SESSION]

    @property
    def can_hold(self) -> bool:
        """Whether calls that are not taken any more can be held for a moment before they are refused."""
        return sum(self._in_progress.values()) <= self._limits.concurrent_rpcs

    @contextmanager
    def counted(self, kind: Kind) -> Iterator[None]:
        """Count a call inside this context, whether it is admitted or not."""
        self._in_progress[kind] += 1
        try:
            yield
        finally:
            self._in_progress[kind] -= 1

    @contextmanager
    def admitted(self, kind: Kind, caller: str, key: KeyEntry | None) -> Iterator[None]:
        """Hold a call that is counted to the bounds of its kind and of its key inside this context.

        Raises:
            Overloaded: There is no place.
            QuotaExceeded: The key is at one of its limits.
        """
        if kind is Kind.WORK and self._in_progress[kind] > self._limits.concurrent_rpcs:
            # Those in progress take about as long as the latest that was answered. Refused ones take no
            # time, and calling back after that would only add to the load.
            raise Overloaded(
                f"{self._limits.concurrent_rpcs} requests are in progress, "
                "the most this service takes at once.",
                retry_after_seconds=max(_MIN_RETRY_SECONDS, self._latest_answer_seconds),
            )
        with (
            self._session(caller) if kind is Kind.SESSION else nullcontext(),
            nullcontext() if self._access is None or key is None else self._access.use(key),
        ):
            yield

    def answered(self, seconds: float) -> None:
        """Take note of how long a call of the kind `WORK` took."""
        self._latest_answer_seconds = seconds

    @contextmanager
    def _session(self, caller: str) -> Iterator[None]:
        limits = self._limits
        for used, most, whose in (
            (self._in_progress[Kind.SESSION] - 1, limits.sessions, "in all"),
            (self._sessions_by_caller[caller], limits.sessions_per_caller, "of one caller"),
        ):
            if used >= most:
                raise Overloaded(
                    f"{most} sessions are open, the most this service takes {whose}.",
                    retry_after_seconds=_SESSION_RETRY_SECONDS,
                )
        self._sessions_by_caller[caller] += 1
        try:
            yield
        finally:
            self._sessions_by_caller[caller] -= 1
            if not self._sessions_by_caller[caller]:
                del self._sessions_by_caller[caller]


class PendingMessages:
    """Places for calls whose request has not arrived. Belongs to one event loop.

    Args:
        in_all: How many there are.
        per_caller: How many of them one caller may have.
    """

    def __init__(self, *, in_all: int, per_caller: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._per_caller = per_caller
        self._callers: dict[str, _Caller] = {}

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Have a place inside this context; waits for one in the order in which calls came."""
        mine = self._callers.setdefault(caller, _Caller(self._per_caller))
        mine.calls += 1
        try:
            async with mine.places, self._all:
                yield
        finally:
            mine.calls -= 1
            if not mine.calls:
                del self._callers[caller]


class _Caller:
    """The places of one caller, and how many calls have or want one."""

    __slots__ = ("calls", "places")

    def __init__(self, places: int) -> None:
        self.calls = 0
        self.places = asyncio.Semaphore(places)
