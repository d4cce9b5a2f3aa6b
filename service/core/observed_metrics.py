"""Metrics that others keep, and that are read when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from service.core.metric_table import METRICS

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
