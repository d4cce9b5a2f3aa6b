"""The queue in front of the engine: which image is made next, and what is refused at once.

A request gets a ticket for all its images or for none; each image then waits for its turn. Turns go by
priority, and within one by start-time fair queueing between callers, charged in seconds of work: one caller
with a thousand images waiting does not delay another who has one. When the queue is full, requests of the
caller who takes most of it are evicted for those of callers who take less, and batches for interactive ones.

While the queue is held, because nothing can be made, nobody has a turn: what is admitted waits, within the
capacity.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from service.core.errors import Overloaded
from service.scheduling.fairness import Durations, FairShares

_CAUTION = 1.25
"""By how much the wait may be longer than expected: work that ends too late is worse than a refusal."""

_MIN_RETRY_SECONDS = 0.05

_MIN_STALE = 64
"""Cancelled entries below which the queue is not rebuilt."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that was admitted.

    Attributes:
        model: The model of the repository that makes its images.
        caller: Whose it is.
        priority: Smaller goes first.
        number: Of the ticket, in the order of arrival.
        waiting: Images that have not had their turn.
        started: Whether any has.
        eviction: Why it was evicted.
    """

    model: str
    caller: str
    priority: int
    number: int
    waiting: int
    started: bool = False
    eviction: Overloaded | None = None


@dataclass(order=True, slots=True)
class _Waiter:
    priority: int
    tag: float
    number: int
    ticket: Ticket = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)
    charge: float = field(compare=False)


class RequestQueue:
    """Admits requests and gives out turns. Belongs to one event loop.

    Args:
        concurrency_limit: Images made at the same time.
        capacity: Images that may wait.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, *, concurrency_limit: int, capacity: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = self._free = concurrency_limit
        self._capacity = capacity
        self._clock = clock
        self._numbers = itertools.count()
        self._tickets: dict[int, Ticket] = {}
        self._waiting_by_caller: dict[str, int] = {}
        self._depth = 0
        self._queue: list[_Waiter] = []
        self._stale = 0
        self._held = False
        self._shares = FairShares()
        self._durations = Durations()

    @property
    def depth(self) -> int:
        """Images of admitted requests that wait for their turn."""
        return self._depth

    @property
    def in_progress(self) -> int:
        """Images being made."""
        return self._limit - self._free

    @property
    def held(self) -> bool:
        """Whether no turns are given out."""
        return self._held

    @property
    def largest_request(self) -> int:
        """Images of the largest request that can ever be admitted."""
        return self._limit + self._capacity

    @property
    def work_waiting_seconds(self) -> float:
        """Seconds of work that wait: each image counts as long as its model's images take on average."""
        return sum(ticket.waiting * self._durations.mean(ticket.model) for ticket in self._tickets.values())

    def enter(
        self, model: str, images: int, *, caller: str, priority: int, seconds_left: float = math.inf
    ) -> Ticket:
        """Admit a request; every ticket is given back with `leave`.

        Args:
            model: The model that makes the images.
            images: How many.
            caller: Whose request it is.
            priority: Smaller goes first.
            seconds_left: Until its deadline.

        Raises:
            Overloaded: The queue is full, or it would be ready after its deadline. Nothing has been done.
        """
        wait = self._wait_seconds(priority)
        # A request for which nothing waits is admitted whatever its deadline: its own duration is a guess.
        if wait:
            ready = _CAUTION * wait + self._durations.mean(model)
            if ready >= seconds_left:
                raise Overloaded(
                    f"It would be ready in about {ready:.2f} s, after its deadline in {seconds_left:.2f} s.",
                    retry_after_seconds=max(_MIN_RETRY_SECONDS, ready - seconds_left),
                    cause="too_late",
                )
        if self._depth + images > self._room:
            self._evict_for(images, caller, priority)
        ticket = Ticket(model, caller, priority, next(self._numbers), images)
        self._tickets[ticket.number] = ticket
        self._count_in(caller, images)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give a ticket back, with whatever of it still waits."""
        del self._tickets[ticket.number]
        if ticket.waiting:
            self._count_out(ticket.caller, ticket.waiting)
            ticket.waiting = 0
        if not self._tickets:
            self._shares.clear()

    async def acquire(self, ticket: Ticket) -> float:
        """Wait for the turn of one of the ticket's images; every turn is ended with `release`.

        Returns:
            The seconds of work that its caller was charged: none for a turn that nobody waited for.

        Raises:
            Overloaded: The ticket was evicted.
        """
        if ticket.eviction is not None:
            raise ticket.eviction
        if self._free and not self._queue and not self._held:
            self._start(ticket)
            return 0.0
        return await self._wait(ticket)

    def release(self, ticket: Ticket, seconds: float, charged: float = 0.0, *, learn: bool = True) -> None:
        """End a turn.

        Args:
            ticket: Whose turn it was.
            seconds: How long it took.
            charged: What `acquire` returned.
            learn: Whether it tells how long the model's images take: not when it failed.
        """
        if learn:
            self._durations.learn(ticket.model, seconds)
        # It was charged what its model usually takes; in the end, what it did take, whatever came of it.
        self._shares.correct(ticket.caller, seconds - charged)
        self._free += 1
        self._hand_out()

    def wait_again(self, ticket: Ticket) -> None:
        """Have an image wait once more: its turn, which is ended with `release`, was of no use."""
        ticket.waiting += 1
        self._count_in(ticket.caller, 1)

    def hold(self) -> None:
        """Give out no turns until `resume`."""
        self._held = True

    def resume(self) -> None:
        """Give out turns again."""
        self._held = False
        self._hand_out()

    @property
    def _room(self) -> int:
        """Images that may be admitted and not have had their turn."""
        return self._capacity + (0 if self._held else self._free)

    def _start(self, ticket: Ticket) -> None:
        self._free -= 1
        ticket.started = True
        ticket.waiting -= 1
        self._count_out(ticket.caller, 1)

    async def _wait(self, ticket: Ticket) -> float:
        charge = self._durations.charge(ticket.model)
        tag = self._shares.charge(ticket.caller, charge)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(ticket.priority, tag, next(self._numbers), ticket, turn, charge)
        heapq.heappush(self._queue, waiter)
        try:
            await turn
        except BaseException:
            # Nothing was done for it, so nothing is owed for it.
            self._shares.correct(ticket.caller, -charge)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free += 1  # it had just been given the turn
                self._hand_out()
            else:
                self._drop_stale()
            raise
        return charge

    def _hand_out(self) -> None:
        while self._free and self._queue and not self._held:
            waiter = heapq.heappop(self._queue)
            if waiter.turn.done():
                self._stale = max(0, self._stale - 1)
                continue
            # Now and not when it wakes up: until then it could be evicted.
            self._start(waiter.ticket)
            self._shares.begun(waiter.tag - waiter.charge)
            waiter.turn.set_result(None)

    def _drop_stale(self) -> None:
        """Take cancelled entries out once they are the larger part: a constant share of work for each."""
        self._stale += 1
        if self._stale >= max(_MIN_STALE, len(self._queue) // 2):
            self._queue = [waiter for waiter in self._queue if not waiter.turn.done()]
            heapq.heapify(self._queue)
            self._stale = 0

    def _evict_for(self, images: int, caller: str, priority: int) -> None:
        evicted: list[Ticket] = []
        missing = self.depth + images - self._room
        shares = Counter(self._waiting_by_caller)
        share = shares[caller] + images
        while missing > 0:
            victim = max(
                (
                    ticket
                    for ticket in self._tickets.values()
                    if not ticket.started
                    and ticket.eviction is None
                    and ticket not in evicted
                    and (ticket.priority, shares[ticket.caller]) > (priority, share)
                ),
                key=lambda ticket: (ticket.priority, shares[ticket.caller], ticket.number),
                default=None,
            )
            if victim is None:
                raise Overloaded(
                    f"{self.depth} images wait; the queue holds {self._capacity}, and it asks for {images}.",
                    retry_after_seconds=max(_MIN_RETRY_SECONDS, self._drain_seconds(missing)),
                    cause="queue",
                )
            evicted.append(victim)
            shares[victim.caller] -= victim.waiting
            missing -= victim.waiting
        for ticket in evicted:
            self._evict(ticket)

    def _evict(self, ticket: Ticket) -> None:
        seconds = max(_MIN_RETRY_SECONDS, self._wait_seconds(ticket.priority))
        ticket.eviction = Overloaded(
            "It was evicted for other callers.", retry_after_seconds=seconds, cause="evicted"
        )
        self._count_out(ticket.caller, ticket.waiting)
        ticket.waiting = 0
        for waiter in self._queue:
            if waiter.ticket is ticket and not waiter.turn.done():
                waiter.turn.set_exception(ticket.eviction)

    def _count_in(self, caller: str, images: int) -> None:
        self._depth += images
        self._waiting_by_caller[caller] = self._waiting_by_caller.get(caller, 0) + images

    def _count_out(self, caller: str, images: int) -> None:
        self._depth -= images
        left = self._waiting_by_caller.get(caller, 0) - images
        if left:
            self._waiting_by_caller[caller] = left
        else:
            self._waiting_by_caller.pop(caller, None)

    def _wait_seconds(self, priority: int) -> float:
        """How long an image that comes now waits for its turn; 0 as long as nothing is known."""
        if self._depth < self._free:
            return 0.0  # each of those admitted finds a free place, and so does this one
        ahead = sum(
            ticket.waiting * self._durations.mean(ticket.model)
            for ticket in self._tickets.values()
            if ticket.priority <= priority
        )
        return ahead / self._limit

    def _drain_seconds(self, images: int) -> float:
        """How long it takes until so many images have left the queue."""
        return images * self._durations.longest_mean / self._limit
