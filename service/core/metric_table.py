"""Every Prometheus metric of the service: the one table of names, meanings, labels and buckets.

The RPC metrics have the names and labels of go-grpc-prometheus, so dashboards made for it work;
its latency histogram carries `grpc_code` in addition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

BUCKETS_SECONDS = (
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
    60.0,
)
"""Upper bounds of the latency buckets: fine where a stage or a request normally ends, 0.25 to 15 ms, and to
beyond the default deadline of 30 s."""

_RPC = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """Name, kind, meaning and labels of one metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


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
        "Time from the arrival of an RPC to its status.",
        (*_RPC, "grpc_code"),
    ),
    MetricSpec("maskweave_requests_in_flight", "gauge", "RPCs in progress.", ("grpc_method",)),
    MetricSpec("maskweave_failures_total", "counter", "Failed RPCs by the reason told.", ("reason",)),
    MetricSpec("maskweave_queue_wait_seconds", "histogram", "Time an image waited in the queue.", ("model",)),
    MetricSpec("maskweave_queue_depth", "gauge", "Images of admitted requests that wait for their turn."),
    MetricSpec("maskweave_images_in_progress", "gauge", "Images being made."),
    MetricSpec(
        "maskweave_work_waiting_seconds",
        "gauge",
        "Seconds of work in the queue: its images, times how long those of their model take on average.",
    ),
    MetricSpec("maskweave_open_sessions", "gauge", "Sessions of Paint that are open."),
    MetricSpec(
        "maskweave_images_total",
        "counter",
        "Images made for callers, by the kind of condition that they follow.",
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
    MetricSpec(
        "maskweave_response_cache_hits_total",
        "counter",
        "Stages answered by the response cache or by an identical request already running.",
        ("stage",),
    ),
    MetricSpec(
        "maskweave_event_loop_tasks", "gauge", "Tasks of the event loop; one that only grows is a leak."
    ),
    MetricSpec("maskweave_engine_ready", "gauge", "1 while the engine can answer, 0 while it cannot."),
    MetricSpec("maskweave_model_info", "gauge", "1 for every model that is ready.", ("model", "version")),
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
)

METRICS: Mapping[str, MetricSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every metric of this service by name. Process metrics (`process_*`) come on top."""
