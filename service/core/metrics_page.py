"""Renders `docs/metrics.md` from the table of metrics; `make metrics-page` writes it."""

from __future__ import annotations

import sys

from service.core.metric_table import (
    DEADLINE_SECONDS,
    LATENCY,
    LATENCY_TARGET_SECONDS,
    METRICS,
    MetricSpec,
    latency_buckets,
)

_INTRODUCTION = """\
# Metrics

Generated from the one table, [service/core/metric_table.py](../service/core/metric_table.py), by `make
metrics-page`; a test compares.

A gateway shows its metrics at `/metrics` of its HTTP port (`http_host`, `http_port`), without a key: keep
that port to those who watch it. They carry no ids of keys, no addresses and nothing of what requests
hold. Names and labels of the RPC metrics are those of
[go-grpc-prometheus](https://github.com/grpc-ecosystem/go-grpc-prometheus). `maskweave status ADDRESS`
shows the most important of them on a terminal; the chart in [helm/maskweave](../helm/maskweave/README.md)
has dashboards and alerts.

| metric | kind | labels | what it means |
|---|---|---|---|
"""

_CLOSING = """
`process_*` come on top: CPU, memory, open files and start time of the gateway's process.

## Buckets
Histograms of latencies have bounds in seconds that follow two settings: finer ones around
`latency_target_seconds`, which is a bound itself, so that the part of requests within the target is
exact; and up to twice `default_timeout_seconds`. With the defaults, {target:g} s and {deadline:g} s:

{buckets}

A change of either changes the series: quantiles over the time of the change mix two sets of bounds.

## Exemplars
Prometheus asks for the format OpenMetrics. In it, buckets of `grpc_server_handling_seconds` carry the
trace id of a request that somebody keeps the trace of: by its caller's `traceparent`, or because this
gateway exports it ([operations.md](operations.md#traces)). Start Prometheus with
`--enable-feature=exemplar-storage`, and Grafana leads from a slow bucket to the trace.

## Several gateways on one host
Each process has its own ports and its own page; Prometheus scrapes each as a target of its own, and sums
as it does over hosts. Give each its `grpc_port` and `http_port`; a port that is taken ends the start with
a message that says so. Clients balance over them: `ipv4:10.0.0.7:50051,10.0.0.7:50052` with the policy
`round_robin`.

```yaml
scrape_configs:
  - job_name: maskweave
    static_configs: [{{targets: ["10.0.0.7:8080", "10.0.0.7:8081"]}}]
```

prometheus-client's multiprocess mode is not used: it writes what processes count into files, has no
exemplars, and cannot say which process is stuck. With `PROMETHEUS_MULTIPROC_DIR` set a gateway does not
start.
"""


def metrics_page() -> str:
    """The whole page."""
    rows = [
        f"| `{spec.name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels) or '-'} "
        f"| {spec.help}{_bounds(spec)} |"
        for spec in METRICS.values()
    ]
    closing = _CLOSING.format(
        target=LATENCY_TARGET_SECONDS, deadline=DEADLINE_SECONDS, buckets=_listed(latency_buckets())
    )
    return _INTRODUCTION + "\n".join(rows) + "\n" + closing


def _bounds(spec: MetricSpec) -> str:
    if spec.kind != "histogram" or spec.buckets == LATENCY:
        return ""
    return f" Buckets: {_listed(spec.buckets)}."


def _listed(bounds: tuple[float, ...]) -> str:
    return ", ".join(f"{bound:g}" for bound in bounds)


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
