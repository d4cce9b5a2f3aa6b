"""What a gateway tells of itself: its health, its models, and what its page of metrics says, put together."""

from __future__ import annotations

import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from service.app.connection import Connection, health_name
from service.app.status.page import MetricsPage, PageError, read_page
from service.app.status.types import Load, ModelStatus, Period, StageStatus, Status, Traffic

_HANDLING = "grpc_server_handling_seconds"
_PAGE_SIZE = 200
_MOST_PAGES = 100


def look(gateway: Connection, metrics_url: str, seconds: float) -> Status:
    """Ask a gateway for everything that it tells.

    Args:
        gateway: How to reach it.
        metrics_url: Its page of metrics.
        seconds: How long to count for `recent`.
    """
    problems: list[str] = []
    with gateway.channel() as channel:
        health = _health(gateway, channel, problems)
        models = _models(gateway, channel, problems) if health != "UNREACHABLE" else None
    facts = _measured(metrics_url, gateway.timeout, seconds, problems)
    return Status(gateway.address, metrics_url, health, problems=tuple(problems), models=models, **facts)


def _health(gateway: Connection, channel: grpc.Channel, problems: list[str]) -> str:
    try:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=gateway.timeout, metadata=gateway.metadata
        )
    except grpc.RpcError as error:
        problems.append(gateway.reason(error))
        answered = error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return "UNKNOWN" if answered else "UNREACHABLE"
    return health_name(reply.status)


def _models(
    gateway: Connection, channel: grpc.Channel, problems: list[str]
) -> tuple[ModelStatus, ...] | None:
    stub, token, models = pb_grpc.SynthesisServiceStub(channel), "", list[pb.Model]()
    try:
        for _ in range(_MOST_PAGES):
            reply = stub.ListModels(
                pb.ListModelsRequest(page_size=_PAGE_SIZE, page_token=token),
                timeout=gateway.timeout,
                metadata=gateway.metadata,
            )
            models += reply.models
            token = reply.next_page_token
            if not token:
                break
    except grpc.RpcError as error:
        reason = gateway.reason(error)
        if reason not in problems:
            problems.append(reason)
        return None
    return tuple(_model(model) for model in models)


def _model(model: pb.Model) -> ModelStatus:
    return ModelStatus(
        model.name,
        model.version,
        _word(pb.Method, model.method, "METHOD_"),
        model.image_width,
        model.image_height,
        tuple(_word(pb.ConditionKind, each.kind, "CONDITION_KIND_") for each in model.conditions),
        tuple(version for version in model.available_versions if version != model.version),
    )


def _word(enum: Any, value: int, prefix: str) -> str:
    """An enum's value as a word; one of a later version as its number."""
    return enum.Name(value).removeprefix(prefix).lower() if value in enum.values() else str(value)


def _measured(url: str, timeout: float, seconds: float, problems: list[str]) -> dict[str, Any]:
    """What the page of metrics tells, looked at twice."""
    try:
        before, began = read_page(url, timeout), time.monotonic()
        time.sleep(seconds)
        page, passed = read_page(url, timeout), time.monotonic() - began
    except PageError as error:
        problems.append(str(error))
        return {}
    if page.total("maskweave_engine_ready") is None:
        problems.append(f"{url} is not the page of a gateway")
        return {}
    started = page.total("process_start_time_seconds")
    uptime = max(time.time() - started, passed) if started else None
    build = next((labels for labels, _ in page.select("maskweave_build_info")), {})
    runtime = next((labels for labels, _ in page.select("maskweave_runtime_info")), {})
    return {
        "version": build.get("version", ""),
        "uptime_seconds": uptime,
        "engine_ready": page.total("maskweave_engine_ready") == 1,
        "runtime": runtime,
        "candidate_seconds": {
            f"{labels.get('runtime', '')} {labels.get('precision', '')}": value
            for labels, value in page.select("maskweave_runtime_candidate_seconds")
        },
        "model_load_seconds": page.by("maskweave_model_load_seconds", "model"),
        "load": _load(page),
        "recent": _period(page.since(before), page, passed),
        "total": _period(page, page, uptime or passed),
    }


def _load(page: MetricsPage) -> Load:
    def now(name: str) -> int:
        return round(page.total(name) or 0)

    calls = page.by("maskweave_requests_in_flight", "grpc_method")
    return Load(
        queue_images=now("maskweave_queue_depth"),
        queue_seconds=page.total("maskweave_work_waiting_seconds") or 0.0,
        images_in_progress=now("maskweave_images_in_progress"),
        calls={method: round(count) for method, count in calls.items() if count},
        streams=now("maskweave_open_streams"),
        sessions=now("maskweave_open_sessions"),
        workers=now("maskweave_workers"),
        workers_busy=now("maskweave_workers_busy"),
        worker_tasks_waiting=now("maskweave_worker_tasks_waiting"),
        event_loop_tasks=now("maskweave_event_loop_tasks"),
        memory_bytes=now("process_resident_memory_bytes"),
        cache_entries=now("maskweave_response_cache_entries"),
        cache_bytes=now("maskweave_response_cache_bytes"),
        cache_capacity_bytes=now("maskweave_response_cache_capacity_bytes"),
    )


def _period(counted: MetricsPage, page: MetricsPage, seconds: float) -> Period:
    def rate(name: str) -> float:
        return (counted.total(name) or 0.0) / seconds

    def counts(name: str, label: str) -> dict[str, int]:
        return {value: round(count) for value, count in counted.by(name, label).items() if count}

    workers = page.total("maskweave_workers")
    busy = counted.total("maskweave_worker_busy_seconds_total")
    known = workers and busy is not None
    return Period(
        seconds=seconds,
        traffic=_traffic(counted, seconds),
        stages=_stages(counted),
        images_per_second=rate("maskweave_images_total"),
        received_bytes_per_second=rate("maskweave_received_bytes_total"),
        sent_bytes_per_second=rate("maskweave_sent_bytes_total"),
        queue_wait_p99=counted.quantile(0.99, "maskweave_queue_wait_seconds"),
        worker_utilisation=min((busy or 0.0) / seconds / (workers or 1.0), 1.0) if known else None,
        loop_lag_p99=counted.quantile(0.99, "maskweave_event_loop_lag_seconds"),
        cache_lookups=round(counted.total("maskweave_response_cache_lookups_total") or 0),
        cache_hits=round(counted.total("maskweave_response_cache_hits_total") or 0),
        shed=counts("maskweave_shed_total", "cause"),
        cancelled=counts("maskweave_cancelled_total", "cause"),
        failures=counts("maskweave_failures_total", "reason"),
    )


def _traffic(counted: MetricsPage, seconds: float) -> dict[str, Traffic]:
    found = {}
    for method, calls in counted.by("grpc_server_handled_total", "grpc_method").items():
        if calls:
            answered = counted.total("grpc_server_handled_total", grpc_method=method, grpc_code="OK") or 0.0
            labels = {"grpc_method": method, "grpc_code": "OK"}
            found[method] = Traffic(
                calls=round(calls),
                per_second=calls / seconds,
                failed=1 - answered / calls,
                p50=counted.quantile(0.5, _HANDLING, **labels),
                p99=counted.quantile(0.99, _HANDLING, **labels),
            )
    return found


def _stages(counted: MetricsPage) -> dict[str, StageStatus]:
    name = "maskweave_stage_duration_seconds"
    return {
        stage: StageStatus(
            round(runs), counted.quantile(0.5, name, stage=stage), counted.quantile(0.99, name, stage=stage)
        )
        for stage, runs in counted.by(f"{name}_count", "stage").items()
        if runs
    }
