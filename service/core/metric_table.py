"""Every Prometheus metric of the service: the one table of names, meanings, labels and buckets.

The RPC metrics have the names and labels of go-grpc-prometheus, so dashboards made for it work;
its latency histogram carries `grpc_code` in addition. `docs/metrics.md` is made of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

_USUAL_SECONDS = (
    0.00025,
    0.0005,
    0.001,
    0.0015,
    0.002,
    0.003,
    0.004,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Bounds that are fine where a stage or a request normally ends, 0.25 to 15 ms."""

_AROUND = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Bounds around the latency target, as parts of it."""

LATENCY_TARGET_SECONDS = 0.5
DEADLINE_SECONDS = 30.0
"""The defaults of the settings `latency_target_seconds` and `default_timeout_seconds`."""


def latency_buckets(
    target_seconds: float = LATENCY_TARGET_SECONDS, deadline_seconds: float = DEADLINE_SECONDS
) -> tuple[float, ...]:
    """Upper bounds of the buckets of latencies, in seconds.

    The usual ones below the deadline; finer ones around the target, which is one itself, so that the part of
    requests within it is exact; the deadline, and twice the deadline.
    """
    bounds = {bound for bound in _USUAL_SECONDS if bound < deadline_seconds}
    bounds |= {target_seconds * part for part in _AROUND}
    bounds |= {deadline_seconds, 2 * deadline_seconds}
    return tuple(sorted({float(f"{bound:.6g}") for bound in bounds}))


LATENCY: Literal["latency"] = "latency"
"""Stands for `latency_buckets`, which the settings decide on."""

_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: Its name.
        kind: Its kind.
        help: What it means.
        labels: Its labels.
        buckets: Of a histogram: the upper bounds of its buckets.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] | Literal["latency"] = LATENCY


_RPC = ("grpc_type", "grpc_service", "grpc_method")
_METHOD = ("grpc_method",)

_SPECS = (
    MetricSpec("grpc_server_started_total", "counter", "RPCs started on the server.", _RPC),
    MetricSpec(
        "grpc_server_handled_total",
        "counter",
        "RPCs completed on the server, whatever their status, refused and cancelled ones included.",
        (*_RPC, "grpc_code"),
    ),
    MetricSpec(
        "grpc_server_handling_seconds",
        "histogram",
        "Time from the arrival of an RPC to its status. Buckets have the trace id of a request as exemplar.",
        (*_RPC, "grpc_code"),
    ),
    MetricSpec("grpc_server_msg_received_total", "counter", "Messages that callers sent.", _RPC),
    MetricSpec("grpc_server_msg_sent_total", "counter", "Messages sent to callers.", _RPC),
    MetricSpec(
        "maskweave_received_bytes_total",
        "counter",
        "Bytes of the messages that callers sent, without those of the transport.",
        _METHOD,
    ),
    MetricSpec(
        "maskweave_sent_bytes_total",
        "counter",
        "Bytes of the messages sent to callers, without those of the transport.",
        _METHOD,
    ),
    MetricSpec("maskweave_requests_in_flight", "gauge", "RPCs in progress.", _METHOD),
    MetricSpec(
        "maskweave_open_streams", "gauge", "RPCs in progress of methods that send many messages.", _METHOD
    ),
    MetricSpec("maskweave_open_sessions", "gauge", "Sessions of Paint that are open."),
    MetricSpec(
        "maskweave_failures_total", "counter", "Failed RPCs, by the reason in ErrorInfo.", ("reason",)
    ),
    MetricSpec(
        "maskweave_shed_total",
        "counter",
        "RPCs refused for lack of capacity, by cause. queue: the queue is full. too_late: it would have been "
        "ready after its deadline. evicted: another took its place in the queue. rpcs: max_concurrent_rpcs. "
        "sessions: max_sessions. checks: places for watches of health and reflection. caller: its caller's "
        "share of these. memory: max_request_memory_bytes. quota: of its key. engine: the queue of the "
        "inference server. stopping: the gateway was stopping.",
        ("cause",),
    ),
    MetricSpec(
        "maskweave_cancelled_total",
        "counter",
        "RPCs that ended before they were done, by cause. caller: cancelled or disconnected. deadline: it "
        "passed. idle: a session whose caller sent or read nothing. shutdown: the grace period was over.",
        ("cause",),
    ),
    MetricSpec("maskweave_queue_wait_seconds", "histogram", "Time an image waited in the queue.", ("model",)),
    MetricSpec("maskweave_queue_depth", "gauge", "Images of admitted requests that wait for their turn."),
    MetricSpec("maskweave_images_in_progress", "gauge", "Images being made."),
    MetricSpec(
        "maskweave_work_waiting_seconds",
        "gauge",
        "Seconds of work in the queue: its images, times how long those of their model take on average.",
    ),
    MetricSpec(
        "maskweave_request_images",
        "histogram",
        "Images asked for by one request: its batch. Each is an inference of its own; what Triton makes "
        "batches of is in its own metrics.",
        ("model",),
        _IMAGES,
    ),
    MetricSpec(
        "maskweave_images_total",
        "counter",
        "Images made for callers, by the kind of condition that they follow: none for a generator's own.",
        ("model", "condition", "format"),
    ),
    MetricSpec(
        "maskweave_paint_dropped_frames_total",
        "counter",
        "Updates of Paint that were overtaken by others before their frame was begun.",
        ("model",),
    ),
    MetricSpec(
        "maskweave_stage_duration_seconds",
        "histogram",
        "Time one stage ran for one image: decode, encode, or a model of the repository.",
        ("stage",),
    ),
    MetricSpec(
        "maskweave_stage_queue_duration_seconds",
        "histogram",
        "Time the inputs of one stage waited before it ran.",
        ("stage",),
    ),
    MetricSpec("maskweave_workers", "gauge", "Worker threads, which decode, run models and encode."),
    MetricSpec("maskweave_workers_busy", "gauge", "Worker threads that work at the moment."),
    MetricSpec("maskweave_worker_tasks_waiting", "gauge", "Tasks that wait for a worker thread."),
    MetricSpec(
        "maskweave_worker_busy_seconds_total",
        "counter",
        "Time that all worker threads have worked. Its rate by maskweave_workers is their utilisation.",
    ),
    MetricSpec(
        "maskweave_response_cache_lookups_total",
        "counter",
        "Stages looked up in the response cache.",
        ("stage",),
    ),
    MetricSpec(
        "maskweave_response_cache_hits_total",
        "counter",
        "Stages answered by the response cache or by an identical request already running.",
        ("stage",),
    ),
    MetricSpec("maskweave_response_cache_entries", "gauge", "Outputs of stages in the response cache."),
    MetricSpec("maskweave_response_cache_bytes", "gauge", "Size of the outputs in the response cache."),
    MetricSpec("maskweave_response_cache_capacity_bytes", "gauge", "The most that it may hold."),
    MetricSpec(
        "maskweave_event_loop_lag_seconds",
        "histogram",
        "How late the event loop ran a timer, measured ten times a second; all calls wait that long.",
        (),
        _LAG_SECONDS,
    ),
    MetricSpec(
        "maskweave_event_loop_tasks", "gauge", "Tasks of the event loop; one that only grows is a leak."
    ),
    MetricSpec(
        "maskweave_log_lines_dropped_total",
        "counter",
        "Lines of the log that were dropped because whoever reads standard error was too slow, or it failed.",
    ),
    MetricSpec("maskweave_engine_ready", "gauge", "1 while the engine can answer, 0 while it cannot."),
    MetricSpec("maskweave_model_info", "gauge", "1 for every model that is ready.", ("model", "version")),
    MetricSpec(
        "maskweave_model_load_seconds",
        "gauge",
        "Time that a model of the repository took to load at the start. Of engine triton, Triton tells.",
        ("model", "version"),
    ),
    MetricSpec(
        "maskweave_reloads_total",
        "counter",
        "Changes of files seen while serving: certificate, signing certificate or keys; ok, or refused for "
        "those from before.",
        ("what", "result"),
    ),
    MetricSpec(
        "maskweave_certificate_expiry_seconds",
        "gauge",
        "When a certificate expires (of the gRPC port, of Content Credentials), in seconds since 1970; 0 if "
        "it is refused as it is.",
        ("file",),
    ),
    MetricSpec("maskweave_build_info", "gauge", "1, with the version of the service.", ("version",)),
    MetricSpec(
        "maskweave_runtime_info",
        "gauge",
        "1, with the engine, what runs the models, its version, what it computes in and why "
        "this was chosen (the last two of engine embedded), and the versions of Python and gRPC.",
        ("engine", "runtime", "runtime_version", "precision", "why", "python_version", "grpc_version"),
    ),
    MetricSpec(
        "maskweave_runtime_candidate_seconds",
        "gauge",
        "Time that the models took at the start, once each, with each runtime and precision that was "
        "measured to choose between them.",
        ("runtime", "precision"),
    ),
)

METRICS: Mapping[str, MetricSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every metric of this service by name. Process metrics (`process_*`) come on top."""
