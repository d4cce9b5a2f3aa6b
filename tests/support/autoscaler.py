"""The arithmetic of Kubernetes' HorizontalPodAutoscaler, on what a rendered ScaledObject says.

Source: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/. Each metric
wants its value divided by the target, rounded up, unless that is within a tenth of what there is; the largest
wish counts; windows and policies slow it down. Time may run faster than as rendered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TOLERANCE = 0.1


@dataclass(slots=True)
class Autoscaler:
    """Decides how many replicas there are to be.

    Attributes:
        spec: The spec of a ScaledObject.
        speed: Seconds as rendered that go by in one.
        replicas: How many there are to be now.
        failures: Questions in a row without an answer.
        history: Every change: when, and to how many.
    """

    spec: Mapping[str, Any]
    speed: float
    replicas: int = 0
    failures: int = 0
    history: list[tuple[float, int]] = field(default_factory=list)
    _wishes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = self.spec["minReplicaCount"]

    @property
    def polling_seconds(self) -> float:
        """Time between two questions."""
        return float(self.spec["pollingInterval"]) / self.speed

    @property
    def queries(self) -> Sequence[str]:
        """What Prometheus is asked, one for each trigger."""
        return [trigger["metadata"]["query"] for trigger in self.spec["triggers"]]

    def decide(self, now: float, values: Sequence[float | None]) -> int:
        """How many replicas there are to be, given what the queries gave.

        Args:
            now: A clock, in seconds.
            values: In the order of `queries`; None for no data.
        """
        wish = self._wish(values)
        self._wishes.append((now, wish))
        behavior = self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        window = behavior["scaleDown"]["stabilizationWindowSeconds"] / self.speed
        self._wishes = [each for each in self._wishes if now - each[0] <= window]
        if wish > self.replicas:
            most = max(self._allowed(policy, now, +1) for policy in behavior["scaleUp"]["policies"])
            self._set(now, min(wish, most))
        else:
            steady = max(wish for _, wish in self._wishes)
            least = min(self._allowed(policy, now, -1) for policy in behavior["scaleDown"]["policies"])
            if steady < self.replicas:
                self._set(now, max(steady, least))
        return self.replicas

    def _wish(self, values: Sequence[float | None]) -> int:
        """What the metrics want, within the bounds."""
        fallback = self.spec["fallback"]
        known = [
            (value, float(trigger["metadata"]["threshold"]))
            for value, trigger in zip(values, self.spec["triggers"], strict=True)
            if value is not None
        ]
        self.failures = 0 if len(known) == len(values) else self.failures + 1
        if self.failures >= fallback["failureThreshold"]:
            return max(self.replicas, int(fallback["replicas"]))
        wishes = [self._of_metric(value, target) for value, target in known] or [self.replicas]
        if self.failures:  # what cannot be asked takes nothing away
            wishes.append(self.replicas)
        return int(min(max(*wishes, self.spec["minReplicaCount"]), self.spec["maxReplicaCount"]))

    def _of_metric(self, value: float, target: float) -> int:
        near = abs(value / (target * self.replicas) - 1) <= _TOLERANCE
        return self.replicas if near else math.ceil(value / target)

    def _allowed(self, policy: Mapping[str, Any], now: float, direction: int) -> int:
        """The bound of a policy, counted from the replicas at the beginning of its period."""
        since = now - policy["periodSeconds"] / self.speed
        before = [replicas for at, replicas in self.history if at <= since]
        start = before[-1] if before else self.spec["minReplicaCount"]
        by = policy["value"] if policy["type"] == "Pods" else math.ceil(start * policy["value"] / 100)
        return int(start + direction * by)

    def _set(self, now: float, replicas: int) -> None:
        if replicas != self.replicas:
            self.replicas = replicas
            self.history.append((now, replicas))
