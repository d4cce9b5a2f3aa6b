"""How many calls there may be: of each kind in all and of one caller, by key, and of requests on their way.

gRPC keeps what has arrived of a message until the rest is there. It asks a caller to send only once somebody
waits for the message; until then a few of its frames are all that is held. So a call waits for its request
only after it was given a place here: of those in all, and of those of its caller. Sessions, which always
wait for a message, have bounds of their own, and so has what is answered without a key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum

from service.access.keys import KeyEntry
from service.core.errors import Overloaded, ShedCause
from service.core.limits import CallLimits
from service.rpc.access import Access
from service.rpc.memory import RequestMemory, may_have_more

# The soonest that a refused caller is asked to come back: an answer of ListModels says little of images.
_MIN_RETRY_SECONDS = 0.05

# A session ends when its caller likes: there is no telling, but trying again at once is no use.
_SESSION_RETRY_SECONDS = 1.0


class Kind(Enum):
    """What a call takes up.

    `LOOKUP` costs next to nothing and is never refused for lack of room. `WORK` makes images. `SESSION` stays
    open for as long as its caller likes, has no deadline but its caller's, and each of its
    images is admitted by itself. `CHECK` is a check of health, `WATCH` a watch of it, and `REFLECTION` the
    reading of the contract: these need no key where they are open, and are in no metric of RPCs.

    Attributes:
        places: What it is called where its places are.
        endless: Whether it has no deadline but its caller's.
        measured: Whether it is in the metrics of RPCs: what asks whether a gateway works is no work of it.
    """

    LOOKUP = "lookup"
    WORK = "work"
    SESSION = "session"
    CHECK = "check"
    WATCH = "watch"
    REFLECTION = "reflection"

    def __init__(self, name: str) -> None:
        self.places = name
        self.endless = name in ("session", "watch")
        self.measured = name in ("lookup", "work", "session")


class Admission:
    """The places of the calls of one gateway. Belongs to one event loop.

    Args:
        limits: How many there are.
        access: Holds keys to their limits; None where authentication is disabled.

    Attributes:
        memory: What the requests of calls may hold.
        counted: Counts a call inside this context, whether it is admitted or not.
    """

    def __init__(self, limits: CallLimits, access: Access | None) -> None:
        self._limits = limits
        self._access = access
        self.memory = RequestMemory(limits.request_memory_bytes)
        self._requests = PendingMessages(
            in_all=limits.pending_messages, per_caller=limits.pending_messages_per_caller
        )
        self._checks = PendingMessages(
            in_all=limits.pending_checks, per_caller=limits.pending_checks_per_caller
        )
        # By name: a member of an enum is hashed in Python, a text is not.
        self._places: Mapping[str, _Places] = {
            Kind.WORK.places: _Places("rpcs", "requests are in progress", limits.concurrent_rpcs),
            Kind.SESSION.places: _Places(
                "sessions", "sessions are open", limits.sessions, limits.sessions_per_caller
            ),
            Kind.WATCH.places: _Places("checks", "watches are open", limits.watches),
            Kind.REFLECTION.places: _Places(
                "checks", "reflection streams are open", limits.reflections, limits.reflections_per_caller
            ),
        }
        self.counted = Counted()
        self._latest_answer_seconds = 0.0

    @property
    def open_sessions(self) -> int:
        """Sessions in progress."""
        return self._places[Kind.SESSION.places].taken

    @property
    def in_progress(self) -> int:
        """All calls in progress, also those that are about to be refused."""
        return self.counted.calls

    def pending(self, kind: Kind) -> PendingMessages | None:
        """The places for those who wait for the request of a call; None where it needs none."""
        match kind:
            case Kind.SESSION | Kind.REFLECTION:
                return None
            case Kind.CHECK | Kind.WATCH:
                return self._checks
        return self._requests

    def admitted(self, kind: Kind, caller: str, key: KeyEntry | None) -> AbstractContextManager[None]:
        """Hold a call to the bounds of its kind and of its key inside this context.

        Raises:
            Overloaded: There is no place.
            QuotaExceeded: The key is at one of its limits.
        """
        # Those in progress take about as long as the latest that was answered. Refused ones take no
        # time, and calling back after that would only add to the load.
        retry = max(_MIN_RETRY_SECONDS, self._latest_answer_seconds)
        places = self._places.get(kind.places)
        place: AbstractContextManager[None] = (
            nullcontext()
            if places is None
            else _Place(places, caller, retry if kind is Kind.WORK else _SESSION_RETRY_SECONDS)
        )
        if self._access is None or key is None:
            return place
        return _both(place, self._access.use(key))

    def answered(self, seconds: float) -> None:
        """Take note of how long a call of the kind `WORK` took."""
        self._latest_answer_seconds = seconds


class Counted:
    """A count of calls: of those that are inside this context, which any number may enter."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> None:
        self.calls += 1

    def __exit__(self, *_: object) -> None:
        self.calls -= 1


@contextmanager
def _both(outer: AbstractContextManager[None], inner: AbstractContextManager[None]) -> Iterator[None]:
    with outer, inner:
        yield


class _Places:
    """Places of one kind of call.

    Args:
        cause: What is full when there is none, for the metrics.
        what: What has one, for people.
        in_all: How many there are.
        per_caller: How many of them one caller may have; None for a share that leaves some to others.
    """

    def __init__(self, cause: ShedCause, what: str, in_all: int, per_caller: int | None = None) -> None:
        self._cause = cause
        self._what = what
        self._in_all = in_all
        self._per_caller = per_caller
        self._by_caller: dict[str, int] = {}
        self.taken = 0

    def take(self, caller: str, retry_after_seconds: float) -> None:
        """Take a place, which is given back with `give_back`.

        Raises:
            Overloaded: There is none, or the caller has as many as it may have.
        """
        mine = self._by_caller.get(caller, 0)
        cause: ShedCause = "caller"
        if self.taken >= self._in_all:
            cause = self._cause
            told = f"{self._in_all} {self._what}, the most this service takes at once."
        elif self._per_caller is not None and mine >= self._per_caller:
            told = f"{mine} {self._what}, the most this service takes of one caller."
        elif self._per_caller is None and not may_have_more(mine, 1, self._in_all - self.taken):
            told = f"{mine} {self._what} of this caller, the most it gets while {self.taken} are taken."
        else:
            told = ""
        if told:
            raise Overloaded(told, retry_after_seconds=retry_after_seconds, cause=cause)
        self._by_caller[caller] = mine + 1
        self.taken += 1

    def give_back(self, caller: str) -> None:
        """Give a place back."""
        self.taken -= 1
        left = self._by_caller.pop(caller) - 1
        if left:
            self._by_caller[caller] = left


class _Place:
    """A place inside a context; a class, which is entered in a fraction of a generator's time."""

    __slots__ = ("_caller", "_places", "_retry_after_seconds")

    def __init__(self, places: _Places, caller: str, retry_after_seconds: float) -> None:
        self._places = places
        self._caller = caller
        self._retry_after_seconds = retry_after_seconds

    def __enter__(self) -> None:
        self._places.take(self._caller, self._retry_after_seconds)

    def __exit__(self, *_: object) -> None:
        self._places.give_back(self._caller)


class PendingMessages:
    """Places for calls whose request has not arrived. Belongs to one event loop.

    Args:
        in_all: How many there are.
        per_caller: How many of them one caller may have.
    """

    def __init__(self, *, in_all: int, per_caller: int) -> None:
        self._all = _Slots(in_all)
        self._per_caller = per_caller
        self._callers: dict[str, _Caller] = {}

    def place(self, caller: str) -> _PendingPlace:
        """Have a place inside this context; waits for one in the order in which calls came."""
        return _PendingPlace(self, caller)

    async def take(self, caller: str) -> None:
        """Wait for a place, which is given back with `give_back`."""
        mine = self._callers.get(caller)
        if mine is None:
            mine = self._callers[caller] = _Caller(self._per_caller)
        mine.calls += 1
        try:
            if not mine.places.taken_at_once():
                await mine.places.wait()
            try:
                if not self._all.taken_at_once():
                    await self._all.wait()
            except BaseException:
                mine.places.give_back()
                raise
        except BaseException:
            self._leave(caller, mine)
            raise

    def give_back(self, caller: str) -> None:
        """Give a place back."""
        mine = self._callers[caller]
        self._all.give_back()
        mine.places.give_back()
        self._leave(caller, mine)

    def _leave(self, caller: str, mine: _Caller) -> None:
        mine.calls -= 1
        if not mine.calls:
            del self._callers[caller]


class _PendingPlace:
    """A place inside a context; a class, which is entered in a fraction of a generator's time."""

    __slots__ = ("_caller", "_places")

    def __init__(self, places: PendingMessages, caller: str) -> None:
        self._places = places
        self._caller = caller

    async def __aenter__(self) -> None:
        await self._places.take(self._caller)

    async def __aexit__(self, *_: object) -> None:
        self._places.give_back(self._caller)


class _Caller:
    """The places of one caller, and how many calls have or want one."""

    __slots__ = ("calls", "places")

    def __init__(self, places: int) -> None:
        self.calls = 0
        self.places = _Slots(places)


class _Slots:
    """A number of places, given out in the order in which they are asked for.

    What `asyncio.Semaphore` does, which takes seven calls for a place that is free; all but all are.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    def taken_at_once(self) -> bool:
        """Take a place if one is free; whether it was."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a place."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.give_back()  # it had just been given
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def give_back(self) -> None:
        """Give a place back: to who waits, the first first."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
