"""Kinds of metrics beside the client library's own: fed with less work, or read when somebody looks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from service.core.metric_table import METRICS


class ManyHistogram(Histogram):
    """A histogram that takes many values at once, in a fraction of the time that each would take."""

    def observe_all(self, amounts: Collection[float]) -> None:
        """Observe these values; none of them has an exemplar."""
        bounds = self._upper_bounds  # private, as are the buckets: the library takes one value at a time
        for bucket, count in Counts([bisect_left(bounds, amount) for amount in amounts]).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


M = TypeVar("M", Counter, Gauge, ManyHistogram)


class Family(Generic[M]):
    """A metric with labels, whose children are looked up once: the client library takes a lock for it."""

    __slots__ = ("_children", "_metric")

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        """The child with these labels."""
        child = self._children.get(labels)
        if child is None:
            child = self._metric.labels(*labels) if labels else self._metric
            self._children[labels] = child
        return child


Readings = Mapping[str, float | Mapping[tuple[str, ...], float]]
"""Values of metrics by name; of those with labels, by the values of their labels."""

MetricFamily = CounterMetricFamily | GaugeMetricFamily
"""A metric with its values at one moment."""


class ObservedMetrics:
    """Publishes what others count, as it is when the page of metrics is asked for."""

    def __init__(self) -> None:
        self._reads: list[tuple[Callable[[], Readings], Readings]] = []

    def add(self, read: Callable[[], Readings]) -> None:
        """Publish what `read` gives; it may be asked at once.

        Counts begin at 0 with this call: what came before, such as a warm-up, is left out.

        Raises:
            KeyError: A name is not in the table of metrics.
        """
        first = read()
        for name in first:
            METRICS[name]  # a name that is not in the table is a defect, told now
        self._reads.append((read, first))

    def collect(self) -> Iterator[MetricFamily]:
        """Read all of them."""
        for read, first in self._reads:
            for name, reading in read().items():
                spec = METRICS[name]
                kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
                family = kind(name, spec.help, labels=spec.labels)
                before = _labelled(first[name]) if spec.kind == "counter" else {}
                for labels, value in _labelled(reading).items():
                    family.add_metric(labels, value - before.get(labels, 0.0))
                yield family


def _labelled(reading: float | Mapping[tuple[str, ...], float]) -> Mapping[tuple[str, ...], float]:
    return reading if isinstance(reading, Mapping) else {(): reading}
