"""How much each key may ask for: a token bucket for its rate, a count for its requests in progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.access.keys import KeyEntry, Keys
from service.core.errors import QuotaExceeded

_LEAST_WAIT_SECONDS = 0.001
# A rate can be as small as somebody writes it; no caller is told to come back later than tomorrow.
_MOST_WAIT_SECONDS = 86_400.0


class TokenBucket:
    """Grants `rate` requests per second in the long run, and `size` at once after a pause.

    Args:
        now: The time in seconds.
        rate: Tokens that flow in per second.
        size: Tokens it holds; it starts full.
    """

    def __init__(self, now: float, rate: float, size: float) -> None:
        self._at = now
        self._rate = rate
        self._size = size
        self._tokens = size

    def adjust(self, now: float, rate: float, size: float) -> None:
        """Go on with another rate and size, without a refill."""
        self._flow(now)
        self._rate, self._size = rate, size
        self._tokens = min(self._tokens, size)

    def take(self, now: float) -> float:
        """Take a token; 0, or the seconds until there will be one, a day at most."""
        self._flow(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return min(max(_LEAST_WAIT_SECONDS, (1 - self._tokens) / self._rate), _MOST_WAIT_SECONDS)

    def _flow(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)


class _Usage:
    """What a key uses of its limits."""

    def __init__(self) -> None:
        self.bucket: TokenBucket | None = None
        self.in_progress = 0


class Quotas:
    """Holds keys to their limits. Belongs to one event loop.

    What a key has used stays with its id, so that a change of the file neither refills its bucket nor forgets
    its requests in progress.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usages: dict[str, _Usage] = {}

    @contextmanager
    def use(self, entry: KeyEntry) -> Iterator[None]:
        """Count one request of a key as in progress inside this context, and take it from the key's rate.

        Raises:
            QuotaExceeded: The key is at one of its limits; nothing has been taken from the other.
        """
        usage = self._usages.setdefault(entry.id, _Usage())
        if entry.max_concurrent is not None and usage.in_progress >= entry.max_concurrent:
            raise QuotaExceeded(entry.id, "max_concurrent", entry.max_concurrent, None)
        self._take(entry, usage)
        usage.in_progress += 1
        try:
            yield
        finally:
            usage.in_progress -= 1

    def charge(self, entry: KeyEntry) -> None:
        """Take one request from a key's rate, for work inside a request that `use` counts already.

        A frame of a painting session, for example. The limits are those of the entry that is given: pass
        what `Keys.current` tells, so that changed limits hold for sessions in progress.

        Raises:
            QuotaExceeded: The key is at its rate; it tells when to come back. Nothing has been taken.
        """
        self._take(entry, self._usages.setdefault(entry.id, _Usage()))

    def keep_only(self, keys: Keys) -> None:
        """Forget the keys that there are no more, once nothing of theirs is in progress."""
        known = {entry.id for entry in keys}
        self._usages = {
            name: usage for name, usage in self._usages.items() if name in known or usage.in_progress
        }

    def _take(self, entry: KeyEntry, usage: _Usage) -> None:
        if entry.requests_per_second is None:
            usage.bucket = None
            return
        now, rate, size = self._clock(), entry.requests_per_second, entry.bucket_size
        if usage.bucket is None:
            usage.bucket = TokenBucket(now, rate, size)
        else:
            usage.bucket.adjust(now, rate, size)
        wait = usage.bucket.take(now)
        if wait:
            raise QuotaExceeded(entry.id, "requests_per_second", rate, wait)
