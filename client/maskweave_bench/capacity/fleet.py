"""A fleet under its traffic: an autoscaler, replicas that start, and callers that come to know of them.

The events of the control loop are simpy's. Requests between two of them are exact, one by one, wherever a
queue can
build up; where all replicas have been well below their capacity, the distribution of a steady rate is
taken, which
makes a day a matter of seconds.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from maskweave_bench.capacity.autoscaler import CPU, IN_PROGRESS, WORK_WAITING, Autoscaler, Scaling
from maskweave_bench.capacity.outcome import MINUTE, Outcome, Tally, Target
from maskweave_bench.capacity.station import Floats, Queue
from maskweave_bench.capacity.steady import Steady, bins_of
from maskweave_bench.capacity.traffic import Traffic

_BEAT = 5.0
_LIGHT = 0.75
"""Share of the capacity up to which the distribution of a steady rate is taken."""

_CALLERS = 48
_LOOK, _DECIDE = 0.25, 0.5
"""Looks and decisions come this long after a beat, so that their order is the same in every run."""


@dataclass(eq=False)
class _Replica:
    queue: Queue
    begun: float
    ready: bool = False
    ended: float | None = None


@dataclass(eq=False)
class _Caller:
    """Callers whose connections are renewed at the same time; requests go to all they know, in turn."""

    known: list[_Replica]


class _Fleet:
    def __init__(
        self,
        env: simpy.Environment,
        steady: Steady,
        scaling: Scaling,
        traffic: Traffic,
        target: Target,
        *,
        concurrency: int,
        images: float,
        cpu: float,
        seed: int,
        most_exact: int,
        give_up: float,
    ) -> None:
        self.env = env
        self.steady, self.station = steady, steady.station
        self.scaling, self.traffic = scaling, traffic
        self._concurrency, self._images, self._cpu = concurrency, images, cpu
        self._random = np.random.default_rng(seed)
        self._left = most_exact
        self._most_outside = give_up * math.ceil(traffic.seconds / MINUTE)
        self.over = env.event()
        self._autoscaler = Autoscaler(scaling)
        self._seen: Mapping[str, float] = {}
        self._was_light = True
        first = min(max(self._needed(), scaling.fewest), scaling.most) if scaling.targets else scaling.fewest
        self.replicas = [_Replica(Queue(self.station), 0.0, ready=True) for _ in range(first)]
        self.ended: list[_Replica] = []
        self._callers = [_Caller(self._ready()) for _ in range(_CALLERS if scaling.discovery else 1)]
        self.tally = Tally(target)
        self.most = first
        env.process(self._beats())
        env.process(self._looks())
        env.process(self._decisions())
        for number, caller in enumerate(self._callers):
            if scaling.discovery:
                env.process(self._renewals(caller, number / len(self._callers) * scaling.discovery))

    def _needed(self) -> int:
        """Replicas at the begin, as if the autoscaler had been at work: two thirds busy."""
        rate = self.traffic.rate_between(0, 60)
        return math.ceil(rate / (0.66 * self.station.capacity))

    def _ready(self) -> list[_Replica]:
        return [replica for replica in self.replicas if replica.ready]

    # The processes of the control loop.

    def _beats(self) -> Generator[Any, Any, None]:
        while self.env.now < self.traffic.seconds - 1e-9:
            begin = self.env.now
            yield self.env.timeout(min(_BEAT, self.traffic.seconds - begin))
            self._advance(begin, self.env.now)
            if self.env.now % MINUTE < 1e-6 or self.env.now >= self.traffic.seconds - 1e-9:
                self.tally.end_minute(self.env.now)
                self.ended = [each for each in self.ended if (each.ended or 0.0) > self.env.now]
                if self.tally.outside > self._most_outside or self._left < 0:
                    break
        self.over.succeed()

    def _looks(self) -> Generator[Any, Any, None]:
        yield self.env.timeout(_LOOK)
        while True:
            self._seen = self._sums()
            yield self.env.timeout(self.scaling.scrape)

    def _decisions(self) -> Generator[Any, Any, None]:
        yield self.env.timeout(_DECIDE)
        while True:
            wanted = self._autoscaler.decide(self.env.now, len(self.replicas), self._seen)
            for _ in range(wanted - len(self.replicas)):
                replica = _Replica(Queue(self.station), self.env.now)
                self.replicas.append(replica)
                self.env.process(self._start(replica))
            for _ in range(len(self.replicas) - wanted):
                self._stop()
            self.most = max(self.most, len(self.replicas))
            yield self.env.timeout(self.scaling.sync)

    def _start(self, replica: _Replica) -> Generator[Any, Any, None]:
        yield self.env.timeout(self.scaling.start + self.scaling.ready)
        if replica.ended is None:
            replica.ready = True
            if not self.scaling.discovery:
                self._callers[0].known = self._ready()

    def _stop(self) -> None:
        # As Kubernetes does: what is not ready first, then what is youngest.
        replica = max(self.replicas, key=lambda each: (not each.ready, each.begun))
        self.replicas.remove(replica)
        replica.ended = self.env.now + self.scaling.stop
        self.ended.append(replica)
        for caller in self._callers:
            # Its connections end, and callers look for addresses at once.
            if replica in caller.known:
                caller.known = self._ready()

    def _renewals(self, caller: _Caller, first: float) -> Generator[Any, Any, None]:
        yield self.env.timeout(first)
        while True:
            caller.known = self._ready()
            yield self.env.timeout(self.scaling.discovery)

    # Requests.

    def _shares(self) -> dict[_Replica, float]:
        shares: dict[_Replica, float] = {}
        for caller in self._callers:
            for replica in caller.known:
                shares[replica] = shares.get(replica, 0.0) + 1 / (len(self._callers) * len(caller.known))
        return shares

    def _advance(self, begin: float, end: float) -> None:
        paid = len(self.replicas) + sum((each.ended or 0.0) > begin for each in self.ended)
        shares = self._shares()
        self.tally.replicas(paid, len(shares), end - begin)
        second = np.arange(round(begin), max(round(end), round(begin) + 1))
        second = second[second < self.traffic.rates.size]
        rate = float(self.traffic.rates[second].mean()) if second.size else 0.0
        highest = float(self.traffic.rates[second].max()) if second.size else 0.0
        busiest = max(shares.values(), default=0.0) * highest / self.station.capacity
        backlog = any(replica.queue.waiting(begin) for replica in shares)
        if not shares:
            self.tally.refused(rate * (end - begin))
        elif busiest <= _LIGHT and not backlog:
            self._light(shares, rate, end - begin)
        else:
            self._exact(shares, rate, begin, end)

    def _light(self, shares: Mapping[_Replica, float], rate: float, seconds: float) -> None:
        self._was_light = True
        alike: dict[float, int] = {}
        for share in shares.values():
            key = round(share, 6)
            alike[key] = alike.get(key, 0) + 1
        for share, replicas in alike.items():
            number = share * replicas * rate * seconds
            self.tally.answered(number * self.steady.at(share * rate / self.station.capacity).bins)

    def _exact(self, shares: Mapping[_Replica, float], rate: float, begin: float, end: float) -> None:
        if self._was_light:
            # Servers have been at work before; what they did then is counted already.
            before = max(0.0, begin - _BEAT)
            number = int(self._random.poisson(self.traffic.rate_between(before, begin) * (begin - before)))
            for replica in shares:
                replica.queue = Queue(self.station)
            self._serve(shares, np.sort(self._random.uniform(before, begin, number)))
            self._was_light = False
        latencies = self._serve(shares, self.traffic.arrivals(begin, end, self._random))
        answered = latencies[latencies >= 0]
        self.tally.answered(bins_of(answered))
        self.tally.refused(float(latencies.size - answered.size))

    def _serve(self, shares: Mapping[_Replica, float], arrivals: Floats) -> Floats:
        self._left -= arrivals.size
        replicas = list(shares)
        weights = np.array(list(shares.values()))
        # Every caller goes through its addresses in turn; those of many callers together come by chance.
        chosen = self._random.choice(len(replicas), arrivals.size, p=weights / weights.sum()).tolist()
        sizes = self.station.draws(arrivals.size, self._random).tolist()
        takes = [replica.queue.take for replica in replicas]
        return np.array(
            [
                takes[replica](time, size)
                for replica, time, size in zip(chosen, arrivals.tolist(), sizes, strict=True)
            ]
        )

    def _sums(self) -> dict[str, float]:
        """What the replicas' metrics add up to."""
        now = self.env.now
        rate = self.traffic.rate_between(max(0.0, now - _BEAT), now)
        work = progress = 0.0
        for replica, share in self._shares().items():
            if self._was_light:
                level = self.steady.at(share * rate / self.station.capacity)
                inside = level.waiting + level.working
            else:
                inside = float(replica.queue.waiting(now) + replica.queue.working(now))
            made = min(inside, float(self._concurrency))
            progress += made * self._images
            # An image in the queue counts for as long as one takes when all places are taken.
            work += (inside - made) * self._concurrency / self.station.capacity
        return {WORK_WAITING: work, IN_PROGRESS: progress, CPU: rate * self._cpu}


def simulate(
    steady: Steady,
    scaling: Scaling,
    traffic: Traffic,
    target: Target,
    *,
    concurrency: int | None = None,
    images: float = 1.0,
    cpu: float = 0.0,
    seed: int = 0,
    most_exact: int = 5_000_000,
    give_up: float = 1.0,
) -> Outcome:
    """A fleet under its traffic.

    Args:
        steady: A replica at rates that last.
        scaling: The autoscaler, and how replicas start.
        traffic: What comes.
        target: What has to be kept.
        concurrency: Requests that a replica counts as in progress at most, beyond which they count as
        waiting; None for
            twice the servers, as the gateway has it.
        images: Images of each request.
        cpu: Seconds of CPU of each request.
        seed: Decides everything that is by chance.
        most_exact: Requests that are simulated one by one; after more, it ends early.
        give_up: It ends as soon as the target was not kept in more than this share of the minutes.
    """
    env = simpy.Environment()
    fleet = _Fleet(
        env,
        steady,
        scaling,
        traffic,
        target,
        concurrency=concurrency or 2 * steady.station.servers,
        images=images,
        cpu=cpu,
        seed=seed,
        most_exact=most_exact,
        give_up=give_up,
    )
    env.run(until=fleet.over)
    return fleet.tally.outcome(env.now, fleet.most, complete=env.now >= traffic.seconds - 1e-6)


def fixed(replicas: int) -> Scaling:
    """A fleet that nothing scales."""
    return Scaling(targets={}, fewest=replicas, most=replicas, discovery=0.0)
