"""When a call that the service refused for now is tried again, and when not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from maskweave_client._errors import MaskweaveError

_JITTER = 0.2
"""By how much of itself a pause may be longer than asked for: callers told the same come back one by one."""


@dataclass(frozen=True)
class Retry:
    """How often and for how long a call is tried before its failure is raised.

    A call is tried again where that is safe and of use: when the service cannot be reached or stops
    (`Unavailable`, soon and then ever later), and when it is busy or a key is at its rate (`Overloaded`) and
    says when to come back, no sooner than that. Never for anything else, never beyond the call's
    timeout, and not once a stream has given its first image.

    Attributes:
        attempts: How often a call is tried in all, 1 to 5. 1 tries nothing again.
        max_seconds: How long after its beginning a call may be begun again when the service is busy.
    """

    attempts: int = 4
    max_seconds: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool | float) or self.attempts not in range(1, 6):  # gRPC does no more
            raise ValueError(f"attempts: got {self.attempts!r}; allowed: integers from 1 to 5")
        if not 0 <= self.max_seconds < math.inf:
            raise ValueError(f"max_seconds: got {self.max_seconds!r}; allowed: seconds, at least 0")


class Attempts:
    """The attempts of one call.

    Args:
        retry: How many there may be; None for one.
        timeout: Seconds that all of them may take together.
        clock: Seconds of a clock that never goes back.
        jitter: A number in [0, 1).
    """

    def __init__(
        self,
        retry: Retry | None,
        timeout: float,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._left = 0 if retry is None else retry.attempts - 1
        self._clock, self._jitter = clock, jitter
        began = clock()
        self._deadline = began + timeout
        self._last_begin = began if retry is None else began + retry.max_seconds

    def remaining(self) -> float:
        """Seconds until the call's deadline, at least 0."""
        return max(0.0, self._deadline - self._clock())

    def pause_after(self, failure: MaskweaveError) -> float | None:
        """Seconds to wait before the next attempt; None when the failure is the call's."""
        asked = failure.retry_after_seconds
        # UNAVAILABLE is tried again by gRPC itself, which knows what has left this machine: see _channel.
        if failure.code is not grpc.StatusCode.RESOURCE_EXHAUSTED or asked is None or self._left == 0:
            return None
        pause = max(0.0, asked) * (1 + _JITTER * self._jitter())
        begin = self._clock() + pause
        if begin > self._last_begin or begin >= self._deadline:
            return None
        self._left -= 1
        return pause
