"""Which metrics expressions may use."""

from __future__ import annotations

from service.core.metric_table import METRICS

# Of Prometheus itself, of its client library, of Triton (docs/triton.md) and of kube-state-metrics.
OTHERS = frozenset(
    {
        "up",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "nv_inference_count",
        "nv_inference_exec_count",
        "nv_gpu_memory_total_bytes",
        "kube_pod_status_unschedulable",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "kube_horizontalpodautoscaler_status_condition",
    }
)


def allowed() -> frozenset[str]:
    """Names of series that there are: a histogram has three."""
    kinds = {name: str(spec.kind) for name, spec in METRICS.items()}
    names = set(OTHERS)
    for name, kind in kinds.items():
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return frozenset(names)
