"""Which metrics expressions may use."""

from __future__ import annotations

from service.core.metrics import METRICS

# The service is getting these. Delete each from here when service/core/metrics.py has it; a test says which.
COMING = {
    "maskweave_work_waiting_seconds": "gauge",
    "maskweave_open_sessions": "gauge",
    "maskweave_open_streams": "gauge",
    "maskweave_event_loop_lag_seconds": "histogram",
    "maskweave_worker_busy": "gauge",
    "maskweave_response_cache_bytes": "gauge",
    "maskweave_response_cache_lookups_total": "counter",
    "maskweave_model_load_seconds": "gauge",
    "maskweave_request_bytes": "histogram",
    "maskweave_response_bytes": "histogram",
    "maskweave_shed_total": "counter",
}

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
    kinds = COMING | {name: str(spec.kind) for name, spec in METRICS.items()}
    names = set(OTHERS)
    for name, kind in kinds.items():
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return frozenset(names)
