"""What the requests of all calls hold in memory, from their arrival to their end: bounded in bytes.

So is what replies hold that have left their call and wait for their caller to read them.

Nobody counts what a message takes in memory but by what it may take at most; `parsing.weigh` says that. One
caller gets three quarters of all, two who ask for more get three sevenths each, and so on: a caller may have
so many times as much as is left. With that no number of greedy callers takes everything, and nothing is kept
back from a caller who is alone.

Source of that rule: A. Choudhury, E. Hahne, Dynamic queue length thresholds for shared-memory packet
switches, IEEE/ACM Transactions on Networking 6(2), 1998.
"""

from __future__ import annotations

import asyncio
from typing import Self

from service.core.errors import InvalidArgument, Overloaded

_SHARE = 3
"""How many times as much as is left one caller may have."""

_RETRY_SECONDS = 0.25

_UNSENT_BYTES = 2**28


def may_have_more(mine: int, wanted: int, free: int) -> bool:
    """Whether a caller who has `mine` of something may have `wanted` more of it, of which `free` is left.

    Who has nothing gets what is there; who has something leaves something to others.
    """
    return wanted <= free if not mine else mine + wanted <= _SHARE * (free - wanted)


class RequestMemory:
    """A number of bytes, shared between callers. Belongs to one event loop.

    Args:
        in_all: How many there are.
        holders: What holds them, for people.

    Attributes:
        taken: How many are taken.
        most: The most that one call is given.
    """

    def __init__(self, in_all: int, holders: str = "Requests in progress") -> None:
        self._in_all = in_all
        self._holders = holders
        self._by_caller: dict[str, int] = {}
        self.taken = 0
        self.most = in_all * _SHARE // (_SHARE + 1)

    def held(self, caller: str) -> HeldMemory:
        """What one call holds inside this context: nothing at the beginning."""
        return HeldMemory(self, caller)

    def change(self, caller: str, size: int) -> None:
        """Take or, below 0, give back.

        Raises:
            InvalidArgument: So much is never given to one call.
            Overloaded: So much is not left for this caller now.
        """
        free = self._in_all - self.taken
        mine = self._by_caller.get(caller, 0)
        if size > self.most:
            raise InvalidArgument(
                "(message)", f"a message that takes {size} bytes in memory", f"at most {self.most} bytes"
            )
        if size > 0 and not may_have_more(mine, size, free):
            raise Overloaded(
                f"{self._holders} hold {self.taken} of {self._in_all} bytes, those of this caller "
                f"{mine}; this one takes {size} more.",
                retry_after_seconds=_RETRY_SECONDS,
                cause="memory",
            )
        self.taken += size
        if mine + size:
            self._by_caller[caller] = mine + size
        else:
            self._by_caller.pop(caller, None)


class HeldMemory:
    """What one call holds, inside a context: a class, entered in a fraction of a generator's time."""

    __slots__ = ("_caller", "_memory", "size")

    def __init__(self, memory: RequestMemory, caller: str) -> None:
        self._memory = memory
        self._caller = caller
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size:
            self.keep(0)

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            InvalidArgument: So much is never given to one call.
            Overloaded: So much is not left for this caller now.
        """
        self._memory.change(self._caller, size)
        self.size += size

    def keep(self, size: int) -> None:
        """Give back what is more than `size` bytes."""
        if size < self.size:
            self._memory.change(self._caller, size - self.size)
            self.size = size


class UnsentReplies:
    """Replies that calls have returned to gRPC, which sends them once their callers read."""

    def __init__(self) -> None:
        self._memory = RequestMemory(_UNSENT_BYTES, "Replies that were not read yet")

    @property
    def nbytes(self) -> int:
        """What they hold."""
        return self._memory.taken

    def hold(self, caller: str, size: int, deadline: float) -> None:
        """Count the reply that this task returns until the task is over, and cancel the task at its deadline.

        Args:
            caller: Whose call it is.
            size: Of the reply, in bytes.
            deadline: On the clock of the event loop.

        Raises:
            Overloaded: Replies hold too much already.
        """
        task = asyncio.current_task()
        assert task is not None
        size = min(size, self._memory.most)  # one alone is never too large
        self._memory.change(caller, size)
        timer = asyncio.get_running_loop().call_at(deadline, task.cancel)

        def sent(_: object) -> None:
            timer.cancel()
            self._memory.change(caller, -size)

        task.add_done_callback(sent)
