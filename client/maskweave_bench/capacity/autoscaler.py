"""The arithmetic of a HorizontalPodAutoscaler (autoscaling/v2), which KEDA uses too. It reads no clock.

All targets are AverageValues, as the chart renders them: the sum of a metric over all replicas, divided by
the number
of replicas, is held at the target. CPU utilisation of embedded gateways comes to the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WORK_WAITING = "maskweave_work_waiting_seconds"
IN_PROGRESS = "maskweave_images_in_progress"
CPU = "cpu"

_TOLERANCE = 0.1
"""By what share a metric may be off its target before anything is done (Kubernetes' default)."""


@dataclass(frozen=True)
class Scaling:
    """Settings of an autoscaler and of what it scales; the defaults are the chart's.

    Attributes:
        targets: AverageValues by metric: seconds of work waiting, images in progress, or cores of CPU, per
        replica.
            Without any, nothing scales: `fewest` replicas run.
        fewest: Replicas at least.
        most: Replicas at most.
        up_window: Seconds over which the lowest wish counts, before replicas are added.
        up_percent: Percent of the replicas that may be added in a period.
        up_pods: Replicas that may be added in a period in any case.
        up_period: Seconds of that period.
        down_window: Seconds over which the highest wish counts, before replicas are taken away.
        down_pods: Replicas that may be taken away in a period.
        down_period: Seconds of that period.
        scrape: Seconds between two looks at the metrics.
        sync: Seconds between two decisions.
        start: Seconds from a decision to a replica that is ready: its pod is placed, its models are loaded.
        ready: Seconds from there until its Service tells its address (a readiness probe's period, at most).
        discovery: Seconds in which callers' connections are renewed, and with them their lists of
        addresses: a new
            replica gets its whole share only then. 0 where a proxy knows at once.
        stop: Seconds that a replica lives on, and costs, when it is taken away.
    """

    targets: Mapping[str, float] = field(default_factory=lambda: {WORK_WAITING: 1.0})
    fewest: int = 2
    most: int = 10
    up_window: float = 0.0
    up_percent: float = 100.0
    up_pods: int = 2
    up_period: float = 15.0
    down_window: float = 300.0
    down_pods: int = 1
    down_period: float = 60.0
    scrape: float = 15.0
    sync: float = 15.0
    start: float = 60.0
    ready: float = 2.0
    discovery: float = 300.0
    stop: float = 15.0


class Autoscaler:
    """Decides how many replicas there should be.

    Args:
        scaling: Its settings.
    """

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._wishes: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, time: float, replicas: int, sums: Mapping[str, float]) -> int:
        """How many replicas there should be from now on.

        Args:
            time: Now, in seconds.
            replicas: How many there are, those that are not ready yet included.
            sums: Each metric's sum over all replicas, as last looked at.
        """
        scaling = self._scaling
        if not scaling.targets:
            return replicas
        wish = max(
            self._wish(replicas, sums.get(name, 0.0), target) for name, target in scaling.targets.items()
        )
        wish = min(max(wish, scaling.fewest), scaling.most)
        longest = max(scaling.up_window, scaling.down_window, scaling.up_period, scaling.down_period)
        self._wishes.append((time, wish))
        for kept in (self._wishes, self._changes):
            while kept and kept[0][0] < time - longest:
                kept.popleft()
        wish = self._stabilized(time, replicas, wish)
        wish = self._limited(time, replicas, wish)
        if wish != replicas:
            self._changes.append((time, wish - replicas))
        return wish

    @staticmethod
    def _wish(replicas: int, total: float, target: float) -> int:
        ratio = total / (target * max(replicas, 1))
        return replicas if abs(ratio - 1) <= _TOLERANCE else math.ceil(total / target - 1e-9)

    def _stabilized(self, time: float, replicas: int, wish: int) -> int:
        up = min((each for at, each in self._wishes if at > time - self._scaling.up_window), default=wish)
        down = max((each for at, each in self._wishes if at > time - self._scaling.down_window), default=wish)
        up, down = min(up, wish), max(down, wish)
        if replicas < up:
            return up
        return down if replicas > down else replicas

    def _limited(self, time: float, replicas: int, wish: int) -> int:
        scaling = self._scaling
        if wish > replicas:
            added = sum(
                change for at, change in self._changes if change > 0 and at > time - scaling.up_period
            )
            begun = replicas - added
            allowed = max(begun + scaling.up_pods, math.ceil(begun * (1 + scaling.up_percent / 100)))
            return min(wish, max(allowed, replicas))
        if wish < replicas:
            gone = -sum(
                change for at, change in self._changes if change < 0 and at > time - scaling.down_period
            )
            return max(wish, min(replicas + gone - scaling.down_pods, replicas))
        return wish
