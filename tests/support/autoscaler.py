"""The arithmetic of Kubernetes' HorizontalPodAutoscaler, on what a rendered autoscaler says.

Source: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/. Each metric
wants its sum divided by the target, rounded up, unless that is within a tenth of what there is; the largest
wish counts; windows and policies slow it down. KEDA asks Prometheus and hands the sums to the same
arithmetic; a HorizontalPodAutoscaler is told the value of each pod, some of which may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TOLERANCE = 0.1
_HPA_POLLING_SECONDS = 15.0
"""What kube-controller-manager is started with by default."""

Value = float | Sequence[float] | None
"""What is known of a metric: its sum over all gateways, its value in each pod that tells one, or nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A metric, and what of it each replica should have.

    Attributes:
        metric: What is asked: a query of Prometheus, or the name of a metric of the pods.
        average: Its target, an AverageValue.
    """

    metric: str
    average: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What an autoscaler is told to do.

    Attributes:
        least: Fewest replicas.
        most: Most replicas.
        targets: What it scales on.
        behavior: Windows and policies.
        polling_seconds: Time between two looks.
        fallback: Failures in a row, and the replicas after them; None for none.
    """

    least: int
    most: int
    targets: tuple[Target, ...]
    behavior: Mapping[str, Any]
    polling_seconds: float
    fallback: tuple[int, int] | None = None


def rules_of(manifest: Mapping[str, Any]) -> Rules:
    """The rules of a rendered ScaledObject or HorizontalPodAutoscaler."""
    spec = manifest["spec"]
    if manifest["kind"] == "ScaledObject":
        for trigger in spec["triggers"]:
            assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
            assert trigger["metadata"]["ignoreNullValues"] == "false"
        fallback = spec["fallback"]
        assert fallback["behavior"] == "currentReplicasIfHigher"
        return Rules(
            spec["minReplicaCount"],
            spec["maxReplicaCount"],
            tuple(
                Target(each["metadata"]["query"], float(each["metadata"]["threshold"]))
                for each in spec["triggers"]
            ),
            spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            float(spec["pollingInterval"]),
            (fallback["failureThreshold"], fallback["replicas"]),
        )
    assert manifest["kind"] == "HorizontalPodAutoscaler"
    targets = []
    for each in spec["metrics"]:
        assert (each["type"], each["pods"]["target"]["type"]) == ("Pods", "AverageValue")
        targets.append(
            Target(each["pods"]["metric"]["name"], quantity(each["pods"]["target"]["averageValue"]))
        )
    return Rules(
        spec["minReplicas"], spec["maxReplicas"], tuple(targets), spec["behavior"], _HPA_POLLING_SECONDS
    )


def quantity(text: str) -> float:
    """A quantity of Kubernetes: `1600m` is 1.6."""
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


@dataclass(slots=True)
class Autoscaler:
    """Decides how many replicas there are to be.

    Attributes:
        rules: What it goes by.
        replicas: How many there are to be now.
        failures: Looks in a row that did not find everything.
        history: Every change: when, and to how many.
    """

    rules: Rules
    replicas: int = 0
    failures: int = 0
    history: list[tuple[float, int]] = field(default_factory=list)
    _wishes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = self.rules.least

    def decide(self, now: float, values: Sequence[Value]) -> int:
        """How many replicas there are to be, given what was found.

        Args:
            now: A clock, in seconds.
            values: In the order of the rules' targets.
        """
        wish = self._wish(values)
        self._wishes.append((now, wish))
        up, down = self.rules.behavior["scaleUp"], self.rules.behavior["scaleDown"]
        assert up["stabilizationWindowSeconds"] == 0
        assert up["selectPolicy"] == "Max"
        window = down["stabilizationWindowSeconds"]
        self._wishes = [each for each in self._wishes if now - each[0] <= window]
        if wish > self.replicas:
            most = max(self._allowed(policy, now, +1) for policy in up["policies"])
            self._set(now, min(wish, most))
        else:
            steady = max(wish for _, wish in self._wishes)
            least = min(self._allowed(policy, now, -1) for policy in down["policies"])
            if steady < self.replicas:
                self._set(now, max(steady, least))
        return self.replicas

    def _wish(self, values: Sequence[Value]) -> int:
        """What the metrics want, within the bounds."""
        rules = self.rules
        known = [
            (value, target.average)
            for value, target in zip(values, rules.targets, strict=True)
            if not (value is None or value == [])
        ]
        self.failures = 0 if len(known) == len(values) else self.failures + 1
        if rules.fallback is not None and self.failures >= rules.fallback[0]:
            return max(self.replicas, rules.fallback[1])
        wishes = [self._of_metric(value, average) for value, average in known] or [self.replicas]
        if self.failures:  # what cannot be asked takes nothing away
            wishes.append(self.replicas)
        return int(min(max(*wishes, rules.least), rules.most))

    def _of_metric(self, value: float | Sequence[float], average: float) -> int:
        if isinstance(value, Sequence):
            return self._of_pods(value, average)
        near = abs(value / (average * self.replicas) - 1) <= _TOLERANCE
        return self.replicas if near else math.ceil(value / average)

    def _of_pods(self, values: Sequence[float], average: float) -> int:
        """Silent pods are taken to be at the target where there are too many pods, and at 0 where too few."""
        ratio = sum(values) / len(values) / average
        missing = max(0, self.replicas - len(values))
        if not missing:
            near = abs(ratio - 1) <= _TOLERANCE
            return self.replicas if near else math.ceil(ratio * len(values))
        filled = [*values, *[average if ratio < 1 else 0.0] * missing]
        new = sum(filled) / len(filled) / average
        if abs(new - 1) <= _TOLERANCE or (ratio < 1) != (new < 1):
            return self.replicas
        wanted = math.ceil(new * len(filled))
        # A change against the direction that was found is none.
        return max(wanted, self.replicas) if new > 1 else min(wanted, self.replicas)

    def _allowed(self, policy: Mapping[str, Any], now: float, direction: int) -> int:
        """The bound of a policy, counted from the replicas at the beginning of its period."""
        since = now - policy["periodSeconds"]
        before = [replicas for at, replicas in self.history if at <= since]
        start = before[-1] if before else self.rules.least
        by = policy["value"] if policy["type"] == "Pods" else math.ceil(start * policy["value"] / 100)
        return int(start + direction * by)

    def _set(self, now: float, replicas: int) -> None:
        if replicas != self.replicas:
            self.replicas = replicas
            self.history.append((now, replicas))
