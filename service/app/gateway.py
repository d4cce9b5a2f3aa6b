"""One gateway: everything a running service consists of, brought up and taken down in order.

What not every gateway needs is imported where it is: half of a start is imports.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc

from service.access.callers import caller_address
from service.app.consistency import WILDCARDS
from service.app.listening import address_text
from service.app.process import connection_limits, measured_lag
from service.app.server import build_server, interceptors, listen, stop_server
from service.app.settings import Settings
from service.core.log_lines import dropped_lines
from service.core.metric_kinds import Readings
from service.core.metric_table import latency_buckets
from service.core.metrics import Metrics
from service.core.trace import TraceFactory, passed_on
from service.engine.base import Engine, EngineStatistics
from service.rpc.calls import Calls
from service.rpc.health import GatewayHealth
from service.rpc.interceptors import SERVICE_NAME
from service.rpc.paint import PaintSessions
from service.rpc.service import SynthesisService
from service.scheduling.queue import RequestQueue
from service.synthesis.marking import Marking
from service.synthesis.registry.models import Layout, Model
from service.synthesis.registry.registry import build_registry
from service.synthesis.runner import Runner
from service.synthesis.warm_up import warm_up

if TYPE_CHECKING:
    from service.app.credentials import Certificates
    from service.rpc.access import Access

_logger = logging.getLogger(__name__)

# The grace of the requests is over when the engine closes: what still runs, nobody waits for.
_ENGINE_CLOSE_SECONDS = 1.0

# When gRPC's server has stopped, which waits as long as the grace is, the others have ended too.
_LAST_CALLS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is up.

    Attributes:
        grpc_address: `host:port` of the gRPC server.
        http_address: `host:port` of `/metrics` and `/healthz`.
        models: The models it offers, by name.
        playground: Whether there is a playground at `/` of the HTTP server.
    """

    grpc_address: str
    http_address: str
    models: Mapping[str, Model]
    playground: bool = False


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Bring a gateway up, and on leaving take it down without losing a request.

    Up means: the HTTP port, which says "not ready", and the models, side by side; then the gRPC port.
    Down means: report not ready, go on serving for a while, take no new calls, let those in progress finish
    within the grace, refuse the rest, free the models, close the HTTP port.

    Raises:
        ConfigurationError: A certificate or the keys cannot be used.
        MaskweaveError: The model repository cannot be served, the engine cannot be reached, or one of the
            models makes no images.
        ListenError: A port is taken or an address is not this machine's.
    """
    metrics = Metrics(latency_buckets(settings.latency_target_seconds, settings.default_timeout_seconds))
    loop = asyncio.get_running_loop()
    metrics.watch(
        lambda: {
            "maskweave_event_loop_tasks": len(asyncio.all_tasks(loop)),
            "maskweave_log_lines_dropped_total": dropped_lines(),
        }
    )
    queue = RequestQueue(concurrency_limit=settings.concurrency, capacity=settings.queue_capacity)
    metrics.watch(lambda: _queue_readings(queue))
    async with AsyncExitStack() as stack:
        begin_trace = _trace_factory(settings, stack)
        await stack.enter_async_context(measured_lag(metrics.loop_late))
        certificates, access, marking = await _followed_files(settings, metrics, stack)
        calls = _calls(settings, metrics, access, begin_trace)
        health = GatewayHealth([SERVICE_NAME])
        engine = _engine(settings)
        _watch(engine, settings, metrics, health, queue)
        stack.push_async_callback(engine.close, _ENGINE_CLOSE_SECONDS)
        # Models are loaded on threads of their own while the HTTP port is brought up, and its code imported.
        starting = asyncio.create_task(engine.start())
        stack.push_async_callback(_given_up, starting)
        callers_first = interceptors(settings, calls, access)
        await asyncio.to_thread(import_module, "service.app.http")
        from service.app.http import http_server, playground, web_endpoint  # noqa: PLC0415 - it is there

        endpoint = web_endpoint(settings, callers_first)
        about, pages = await playground(settings)
        http_port = await stack.enter_async_context(
            http_server(
                settings.http_host,
                settings.http_port,
                metrics=metrics,
                is_ready=lambda: health.ready,
                routes=[*(endpoint.routes() if endpoint else ()), *pages],
                hosts=settings.hosts,
                max_connections=connection_limits().http,
            )
        )
        await starting
        layout = None if settings.layout == "auto" else Layout(settings.layout)
        registry = build_registry(engine.models(), layout, settings.default_versions)
        # Measured apart: images that nobody asked for are not counted.
        await warm_up(Runner(engine, queue, Metrics()), registry)
        metrics.watch(lambda: _engine_readings(engine.statistics(), settings.engine))
        metrics.serving(
            version("maskweave"), {name: model.version for name, model in engine.models().items()}
        )

        runner = Runner(engine, queue, metrics, waits_for_engine=settings.waits_for_engine)
        sessions = PaintSessions(
            runner,
            registry,
            metrics,
            idle_seconds=settings.paint_idle_timeout_seconds,
            frame_seconds=settings.default_timeout_seconds,
            marking=marking,
        )
        service = SynthesisService(
            runner, registry, sessions, max_message_bytes=settings.max_message_bytes, marking=marking
        )
        server = build_server(settings, service, calls, health, callers_first)
        grpc_port = listen(server, settings.grpc_host, settings.grpc_port, certificates)
        await server.start()
        about.grpc_address = _seen_address(settings.grpc_host, grpc_port)
        if endpoint is not None:
            service.add_to(endpoint, calls)
            stack.push_async_callback(endpoint.ended, _LAST_CALLS_SECONDS)
        stack.push_async_callback(stop_server, server, calls, settings.shutdown_grace_seconds)
        stack.callback(sessions.end_all)
        stack.push_async_callback(asyncio.sleep, settings.shutdown_delay_seconds)
        health.start()
        stack.callback(health.stop)
        yield Gateway(
            address_text(settings.grpc_host, grpc_port),
            address_text(settings.http_host, http_port),
            registry,
            playground=bool(pages),
        )


def _calls(settings: Settings, metrics: Metrics, access: Access | None, begin_trace: TraceFactory) -> Calls:
    """What takes calls in, from whatever port."""
    if settings.open_to_anyone:
        _logger.warning(
            "whoever reaches the gRPC port may have images made", extra={"host": settings.grpc_host}
        )
    calls = Calls(
        metrics,
        settings.call_limits,
        access,
        address=partial(caller_address, header=settings.forwarded_for_header, proxies=settings.proxies),
        begin_trace=begin_trace,
        logged=settings.access_log,
    )
    metrics.watch(lambda: {"maskweave_open_sessions": calls.open_sessions})
    return calls


def _seen_address(host: str, port: int) -> str:
    """An address, without the host where that is every address of the machine."""
    return f":{port}" if host in WILDCARDS else address_text(host, port)


def _watch(
    engine: Engine, settings: Settings, metrics: Metrics, health: GatewayHealth, queue: RequestQueue
) -> None:
    """Tell those whom it concerns whether the engine can answer."""
    engine.watch(metrics.engine_ready)
    engine.watch(health.engine_ready)
    if settings.waits_for_engine:
        engine.watch(lambda ready: queue.resume() if ready else queue.hold())


async def _given_up(starting: asyncio.Task[None]) -> None:
    """End a start that something else has made pointless; nothing happens when it is over."""
    starting.cancel()
    await asyncio.wait((starting,))
    if not starting.cancelled():
        starting.exception()  # whoever failed first has told why


async def _followed_files(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Certificates | None, Access | None, Marking]:
    """What the settings name files for, which are read anew when they change."""
    certificates = access = None
    if settings.uses_tls:
        from service.app.credentials import Certificates  # noqa: PLC0415

        certificates = Certificates.of(settings, metrics)
    if certificates is not None:
        await stack.enter_async_context(certificates.followed())
    if settings.api_keys_file is not None:
        from service.app.credentials import followed_keys  # noqa: PLC0415

        access = await stack.enter_async_context(followed_keys(settings.api_keys_file, metrics))
    marking = Marking(enabled=settings.mark_images)
    if settings.c2pa_certificate is not None:
        from service.app.signing import followed_signing, signing_files  # noqa: PLC0415

        if (files := signing_files(settings)) is not None:
            await stack.enter_async_context(followed_signing(files, marking, metrics))
    return certificates, access, marking


def _queue_readings(queue: RequestQueue) -> Readings:
    return {
        "maskweave_queue_depth": queue.depth,
        "maskweave_images_in_progress": queue.in_progress,
        "maskweave_work_waiting_seconds": queue.work_waiting_seconds,
    }


def _engine_readings(now: EngineStatistics, engine: str) -> Readings:
    versions = (platform.python_version(), grpc.__version__)
    return {
        "maskweave_runtime_info": {
            (engine, now.runtime, now.runtime_version, now.precision, now.why, *versions): 1.0
        },
        "maskweave_runtime_candidate_seconds": {(*names,): each for names, each in now.candidates.items()},
        "maskweave_model_load_seconds": {
            (model, str(number)): seconds for (model, number), seconds in now.load_seconds.items()
        },
        "maskweave_workers": now.workers,
        "maskweave_workers_busy": now.busy,
        "maskweave_worker_tasks_waiting": now.waiting,
        "maskweave_worker_busy_seconds_total": now.busy_seconds,
        "maskweave_response_cache_entries": now.cache.entries,
        "maskweave_response_cache_bytes": now.cache.nbytes,
        "maskweave_response_cache_capacity_bytes": now.cache.capacity_bytes,
        "maskweave_response_cache_lookups_total": {(stage,): n for stage, n in now.cache.lookups.items()},
        "maskweave_response_cache_hits_total": {(stage,): n for stage, n in now.cache.hits.items()},
    }


def _trace_factory(settings: Settings, stack: AsyncExitStack) -> TraceFactory:
    """What begins the traces of calls; the SDK is imported only where they are exported."""
    if not settings.otlp_endpoint:
        return passed_on
    from service.app.tracing import Tracing  # noqa: PLC0415

    tracing = Tracing(settings.otlp_endpoint, settings.trace_sample_ratio, version("maskweave"))
    stack.push_async_callback(tracing.close)
    return tracing.begin


def _engine(settings: Settings) -> Engine:
    if settings.engine == "triton":
        from service.engine.triton.engine import TritonEngine  # noqa: PLC0415

        return TritonEngine(
            settings.triton_urls,
            models=settings.triton_model_names,
            start_seconds=settings.triton_startup_timeout_seconds,
            worker_threads=settings.worker_threads,
        )
    from service.engine.embedded.engine import EmbeddedEngine  # noqa: PLC0415

    return EmbeddedEngine(
        settings.model_repository,
        threads=settings.worker_threads,
        cache_bytes=settings.response_cache_bytes,
        allowed=settings.allowed_runtimes,
    )
