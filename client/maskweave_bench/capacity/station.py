"""The queue of one replica: first come, first served, by servers that slow one another down.

A replica works on at most `servers` requests at once. How long one takes depends on how many are worked on
when
it begins: cores, caches and memory are shared. What a caller waits beyond (network, client) occupies no
server.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass
from heapq import heappop, heappush
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REFUSED = -1.0
"""Latency of a request that was not worked on: it would have waited longer than its caller."""


@dataclass(frozen=True, eq=False)
class Station:
    """A replica.

    Attributes:
        seconds: Mean time on a server, by the number of requests that are worked on, `[servers]`.
        shape: Quantiles of the time on a server in relation to its mean, at equal distances, `[Q]`, mean 1.
        overhead: Seconds of each request that occupy no server.
        patience: Seconds that a request waits at most; one that would wait longer is refused at once.
    """

    seconds: Floats
    shape: Floats
    overhead: float = 0.0
    patience: float = 10.0

    @property
    def servers(self) -> int:
        """Requests that are worked on at once."""
        return int(self.seconds.size)

    @property
    def capacity(self) -> float:
        """Requests a second beyond which the queue grows."""
        return float(self.servers / self.seconds[-1])

    def draws(self, number: int, random: np.random.Generator) -> Floats:
        """Times on a server in relation to their mean, `[number]`."""
        drawn: Floats = self.shape[random.integers(self.shape.size, size=number)]
        return drawn

    @classmethod
    def stated(
        cls,
        *,
        rate: float,
        seconds: float,
        servers: int,
        spread: float = 0.0,
        overhead: float = 0.0,
        patience: float = 10.0,
    ) -> Station:
        """A replica of which three figures are known.

        Args:
            rate: Requests a second that it can do at most.
            seconds: What a request takes when it is alone.
            servers: Requests that are worked on at once.
            spread: Standard deviation of the logarithm of the time on a server.
            overhead: Seconds of each request that occupy no server.
            patience: Seconds that a request waits at most.

        Raises:
            ValueError: So many servers would have to be faster together than one alone.
        """
        full = servers / rate
        if full < seconds * 0.999:
            raise ValueError(
                f"servers: got {servers}; allowed: at least {int(np.ceil(rate * seconds))}, since a request "
                f"takes {seconds:g} s and {rate:g} are answered a second"
            )
        times = np.linspace(seconds, full, servers) if servers > 1 else np.array([full])
        return cls(times, lognormal(spread), overhead, patience)


def lognormal(spread: float, quantiles: int = 512) -> Floats:
    """Quantiles of a log-normal distribution of mean 1, `[quantiles]`."""
    places = [NormalDist().inv_cdf((number + 0.5) / quantiles) for number in range(quantiles)]
    values = np.exp(spread * np.array(places))
    shape: Floats = values / values.mean()
    return shape


class Queue:
    """One replica at work.

    Args:
        station: What it is.
    """

    __slots__ = ("_free", "_overhead", "_patience", "_seconds", "_servers", "_starts")

    def __init__(self, station: Station) -> None:
        self._seconds: list[float] = station.seconds.tolist()
        self._servers = station.servers
        self._patience = station.patience
        self._overhead = station.overhead
        # When each server is free again, ascending; and when those that wait will begin.
        self._free: list[float] = [-1.0] * station.servers
        self._starts: list[float] = []

    def take(self, time: float, size: float) -> float:
        """A request comes; tells its latency, or `REFUSED`.

        Args:
            time: When, in seconds; not before the last one.
            size: Its time on a server, in relation to the mean.
        """
        free = self._free
        first = free[0]
        start = time
        if first > time:
            if first - time > self._patience:
                return REFUSED
            start = first
            starts = self._starts
            starts.append(start)
            if len(starts) > 4096:
                del starts[: bisect_right(starts, time)]
        busy = self._servers - bisect_right(free, start)
        end = start + self._seconds[busy] * size
        del free[0]
        insort(free, end)
        return end - time + self._overhead

    def waiting(self, time: float) -> int:
        """Requests that wait at a time, not before the last request."""
        del self._starts[: bisect_right(self._starts, time)]
        return len(self._starts)

    def working(self, time: float) -> int:
        """Requests that are worked on at a time."""
        return self._servers - bisect_right(self._free, time)

    def idle_from(self) -> float:
        """When the last server is free again."""
        return self._free[-1]


def run(
    station: Station,
    arrivals: Floats,
    random: np.random.Generator,
    *,
    replicas: int = 1,
    in_turn: bool = True,
) -> Floats:
    """Latencies of requests at a fleet that starts empty, `[N]`.

    Args:
        station: Each replica.
        arrivals: When requests come, seconds, ascending, `[N]`.
        random: Of the times on servers.
        replicas: How many there are.
        in_turn: Requests go to the replicas in turn; otherwise by chance.
    """
    queues = [Queue(station) for _ in range(replicas)]
    sizes = station.draws(arrivals.size, random).tolist()
    chosen = (
        np.arange(arrivals.size) % replicas if in_turn else random.integers(replicas, size=arrivals.size)
    ).tolist()
    return np.array(
        [
            queues[replica].take(time, size)
            for replica, time, size in zip(chosen, arrivals.tolist(), sizes, strict=True)
        ]
    )


def run_closed(station: Station, clients: int, requests: int, random: np.random.Generator) -> Floats:
    """Latencies at one replica whose clients ask again as soon as they are answered, `[requests]`."""
    queue = Queue(station)
    asks = [0.0] * clients
    found = []
    for size in station.draws(requests, random).tolist():
        time = heappop(asks)
        latency = queue.take(time, size)
        found.append(latency)
        heappush(asks, time + max(latency, 0.0))
    return np.array(found)
