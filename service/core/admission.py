"""Decides which pictures are made next, and refuses at once what there is no room or no time for.

A request enters with all its pictures or not at all; each picture then waits for its turn. Turns go by
priority, and within one by start-time fair queueing between callers: one caller with a thousand pictures
waiting does not delay another who has one. When the room is full, requests of the caller who takes most of it
make way for those of callers who take less, and batches make way for interactive requests.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from service.core.errors import Overloaded

_SMOOTHING = 0.2
"""Weight of the latest picture in the mean duration of a model's pictures."""

_CAUTION = 1.25
"""By how much the wait may be longer than expected: work that ends too late is worse than a refusal."""

_LEAST_RETRY_SECONDS = 0.05

_MAX_TAGS = 1024
"""Callers remembered before those to whom nothing is owed any more are forgotten."""


@dataclass(eq=False, slots=True)
class Visit:
    """A request that was let in.

    Attributes:
        model: The model that makes its pictures.
        caller: Whose it is.
        priority: Smaller goes first.
        number: Of the visit, in the order of arrival.
        waiting: Pictures that have not had their turn.
        begun: Whether any has.
        refusal: Why it was sent away after all.
    """

    model: str
    caller: str
    priority: int
    number: int
    waiting: int
    begun: bool = False
    refusal: Overloaded | None = None


@dataclass(order=True, slots=True)
class _Waiter:
    priority: int
    tag: float
    number: int
    visit: Visit = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class Admission:
    """The room in front of the engine. Belongs to one event loop.

    Args:
        slots: Pictures made at the same time.
        room: Pictures that may wait.
        clock: Tells the time in seconds.
    """

    def __init__(self, *, slots: int, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = self._free = slots
        self._room = room
        self._clock = clock
        self._numbers = itertools.count()
        self._visits: dict[int, Visit] = {}
        self._waiting_by_caller: Counter[str] = Counter()
        self._queue: list[_Waiter] = []
        self._virtual_time = 0.0
        self._latest_tags: dict[str, float] = {}
        self._mean_seconds: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Pictures let in that wait for their turn."""
        return self._waiting_by_caller.total()

    @property
    def running(self) -> int:
        """Pictures being made."""
        return self._slots - self._free

    @contextmanager
    def enter(
        self, model: str, pictures: int, *, caller: str, priority: int, seconds_left: float = math.inf
    ) -> Iterator[Visit]:
        """Let a request in for as long as this context lasts.

        Args:
            model: The model that makes the pictures.
            pictures: How many.
            caller: Whose request it is.
            priority: Smaller goes first.
            seconds_left: Until its deadline.

        Raises:
            Overloaded: There is no room, or it would be ready after its deadline. Nothing has been done.
        """
        wait = self._wait_seconds(priority)
        ready = _CAUTION * wait + self._mean_seconds.get(model, 0.0)
        # A request for which nothing waits is let in whatever its deadline: its own duration is a guess.
        if wait and ready >= seconds_left:
            raise Overloaded(
                f"It would be ready in about {ready:.2f} s, after its deadline in {seconds_left:.2f} s.",
                retry_after_seconds=max(_LEAST_RETRY_SECONDS, ready - seconds_left),
            )
        self._make_room(pictures, caller, priority)
        visit = Visit(model, caller, priority, next(self._numbers), pictures)
        self._visits[visit.number] = visit
        self._waiting_by_caller[caller] += pictures
        try:
            yield visit
        finally:
            self._leave(visit)

    @asynccontextmanager
    async def turn(self, visit: Visit) -> AsyncIterator[None]:
        """Make one picture of a visit inside this context; wait for its turn before.

        Raises:
            Overloaded: The visit had to make way for others.
        """
        if visit.refusal is not None:
            raise visit.refusal
        if self._free and not self._queue:
            self._begin(visit)
        else:
            await self._wait(visit)
        began = self._clock()
        try:
            yield
            self._learn(visit.model, self._clock() - began)
        finally:
            self._free += 1
            self._hand_out()

    def _begin(self, visit: Visit) -> None:
        self._free -= 1
        visit.begun = True
        visit.waiting -= 1
        self._count_out(visit.caller, 1)

    async def _wait(self, visit: Visit) -> None:
        tag = max(self._virtual_time, self._latest_tags.get(visit.caller, 0.0)) + 1.0
        self._latest_tags[visit.caller] = tag
        if len(self._latest_tags) > _MAX_TAGS:
            self._latest_tags = {
                caller: latest for caller, latest in self._latest_tags.items() if latest > self._virtual_time
            }
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Waiter(visit.priority, tag, next(self._numbers), visit, turn))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free += 1  # it had just been given the turn
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._free and self._queue:
            waiter = heapq.heappop(self._queue)
            if not waiter.turn.done():
                # Now and not when it wakes up: until then others could have it make way.
                self._begin(waiter.visit)
                self._virtual_time = max(self._virtual_time, waiter.tag - 1.0)
                waiter.turn.set_result(None)

    def _make_room(self, pictures: int, caller: str, priority: int) -> None:
        capacity = self._room + self._free
        sent_away: list[Visit] = []
        missing = self.waiting + pictures - capacity
        shares = Counter(self._waiting_by_caller)
        share = shares[caller] + pictures
        while missing > 0:
            makes_way = max(
                (
                    visit
                    for visit in self._visits.values()
                    if not visit.begun
                    and visit.refusal is None
                    and visit not in sent_away
                    and (visit.priority, shares[visit.caller]) > (priority, share)
                ),
                key=lambda visit: (visit.priority, shares[visit.caller], visit.number),
                default=None,
            )
            if makes_way is None:
                raise Overloaded(
                    f"{self.waiting} pictures wait; there is room for {self._room}, "
                    f"and it asks for {pictures}.",
                    retry_after_seconds=max(_LEAST_RETRY_SECONDS, self._drain_seconds(missing)),
                )
            sent_away.append(makes_way)
            shares[makes_way.caller] -= makes_way.waiting
            missing -= makes_way.waiting
        for visit in sent_away:
            self._send_away(visit)

    def _send_away(self, visit: Visit) -> None:
        seconds = max(_LEAST_RETRY_SECONDS, self._wait_seconds(visit.priority))
        visit.refusal = Overloaded("It had to make way for other callers.", retry_after_seconds=seconds)
        self._count_out(visit.caller, visit.waiting)
        visit.waiting = 0
        for waiter in self._queue:
            if waiter.visit is visit and not waiter.turn.done():
                waiter.turn.set_exception(visit.refusal)

    def _leave(self, visit: Visit) -> None:
        del self._visits[visit.number]
        self._count_out(visit.caller, visit.waiting)
        visit.waiting = 0
        if not self._visits:
            # Nobody is here to whom fairness is owed.
            self._latest_tags.clear()
            self._virtual_time = 0.0

    def _count_out(self, caller: str, pictures: int) -> None:
        self._waiting_by_caller[caller] -= pictures
        if not self._waiting_by_caller[caller]:
            del self._waiting_by_caller[caller]

    def _learn(self, model: str, seconds: float) -> None:
        known = self._mean_seconds.get(model, seconds)
        self._mean_seconds[model] = known + _SMOOTHING * (seconds - known)

    def _wait_seconds(self, priority: int) -> float:
        """How long a picture that comes now waits for its turn; 0 as long as nothing is known."""
        if self.waiting < self._free:
            return 0.0  # each of those that were let in finds a free slot, and so does this one
        ahead = sum(
            visit.waiting * self._mean_seconds.get(visit.model, 0.0)
            for visit in self._visits.values()
            if visit.priority <= priority
        )
        return ahead / self._slots

    def _drain_seconds(self, pictures: int) -> float:
        """How long it takes until so many pictures have left the queue."""
        mean = max(self._mean_seconds.values(), default=0.0)
        return pictures * mean / self._slots
