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

Every Prometheus metric of a gateway. They are at `/metrics` of its HTTP port (`http_host`, `http_port`),
which asks for no key: restrict access to that port. `maskweave status ADDRESS` shows the most important ones
on a terminal; the chart in [helm/maskweave](../helm/maskweave/README.md) has dashboards and alerts. Triton's
own metrics: [triton.md](triton.md#watching-triton).

Metrics contain no ids of keys, no addresses and no contents of requests. Names and labels of the RPC
metrics are those of [go-grpc-prometheus](https://github.com/grpc-ecosystem/go-grpc-prometheus).

Generated from [service/core/metric_table.py](../service/core/metric_table.py) by `make metrics-page`; a test
compares.

| metric | kind | labels | what it means |
|---|---|---|---|
"""

_CLOSING = """
Also there: `process_*`, the CPU, memory, open files and start time of the gateway's process.

## What to watch
The chart has alerts for these ([operations.md](operations.md#runbook)). Elsewhere, begin with:

| question | PromQL |
|---|---|
{watched}
## Buckets
The bounds of latency histograms, in seconds, depend on two settings. They are finer around
`latency_target_seconds`, which is itself a bound, so that the share of requests within the target is
exact; and they reach twice `default_timeout_seconds`. With the defaults, {target:g} s and {deadline:g} s:

{buckets}

If you change either setting, quantiles over a range that includes the change mix two sets of bounds.

## Exemplars
In the OpenMetrics format, which Prometheus asks for, buckets of `grpc_server_handling_seconds` carry the
trace id of a request whose trace is recorded: because its caller's `traceparent` says so, or because this
gateway exports it ([operations.md](operations.md#traces)). Start Prometheus with
`--enable-feature=exemplar-storage`; then Grafana links from a slow bucket to the trace.

## Several gateways on one host
Give each process its own `grpc_port` and `http_port` (a port in use is an error at the start), and have
Prometheus scrape each as a target of its own. Clients balance over them:
`ipv4:10.0.0.7:50051,10.0.0.7:50052` with the policy `round_robin`.

```yaml
scrape_configs:
  - job_name: maskweave
    static_configs: [{{targets: ["10.0.0.7:8080", "10.0.0.7:8081"]}}]
```

prometheus-client's multiprocess mode is not supported, because it has no exemplars and does not show which
process is stuck: with `PROMETHEUS_MULTIPROC_DIR` set a gateway does not start.
"""

_WATCHED = {
    "how long callers wait, p99": "histogram_quantile(0.99, sum by (le) "
    '(rate(grpc_server_handling_seconds_bucket{grpc_method="Synthesize"}[5m])))',
    "how many calls fail, by reason": "sum by (reason) (rate(maskweave_failures_total[5m]))",
    "is it full: seconds of work in the queues": "sum(maskweave_work_waiting_seconds)",
    "how busy are the workers, 0 to 1": "rate(maskweave_worker_busy_seconds_total[1m]) / maskweave_workers",
    "which stage is slow, mean": "rate(maskweave_stage_duration_seconds_sum[5m]) / "
    "rate(maskweave_stage_duration_seconds_count[5m])",
    "is the event loop blocked, p99": "histogram_quantile(0.99, sum by (le, instance) "
    "(rate(maskweave_event_loop_lag_seconds_bucket[5m])))",
    "can every gateway answer: 0 if one cannot": "min(maskweave_engine_ready)",
    "days until a certificate expires": "(maskweave_certificate_expiry_seconds - time()) / 86400",
    "were new keys or certificates refused": 'increase(maskweave_reloads_total{result="refused"}[1h])',
}
"""What to ask Prometheus first, by question."""


def metrics_page() -> str:
    """The whole page."""
    rows = [
        f"| `{spec.name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels) or '-'} "
        f"| {spec.help}{_bounds(spec)} |"
        for spec in METRICS.values()
    ]
    closing = _CLOSING.format(
        watched="".join(f"| {question} | `{query}` |\n" for question, query in _WATCHED.items()),
        target=LATENCY_TARGET_SECONDS,
        deadline=DEADLINE_SECONDS,
        buckets=_listed(latency_buckets()),
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
