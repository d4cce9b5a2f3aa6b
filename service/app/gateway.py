"""One gateway: everything a running service consists of, brought up and taken down in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.app.health import GatewayHealth
from service.app.http import http_server
from service.app.listening import ListenError, address_text
from service.core.admission import Admission
from service.core.metrics import Metrics
from service.core.settings import Settings
from service.engine.base import Engine
from service.engine.embedded.engine import EmbeddedEngine
from service.engine.triton.engine import TritonEngine
from service.rpc.calls import Calls
from service.rpc.handlers import SERVICE_NAME, add_synthesis_service
from service.rpc.servicer import SynthesisServicer
from service.synthesis.catalogue import build_catalogue
from service.synthesis.models import Layout, Model
from service.synthesis.synthesizer import Synthesizer

# The least distance of a client's keepalive pings that the server puts up with.
_MIN_PING_INTERVAL_MS = 10_000

# Far more than callers who are served in turn can use; it bounds what one connection can leave unread.
_LEAST_STREAMS_A_CONNECTION = 1024


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is up.

    Attributes:
        grpc_address: `host:port` of the gRPC server.
        http_address: `host:port` of `/metrics` and `/healthz`.
        models: The models it offers, by name.
    """

    grpc_address: str
    http_address: str
    models: Mapping[str, Model]


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Bring a gateway up, and on leaving take it down without losing a request.

    Up means, in this order: the HTTP port, which says "not ready", the models, the gRPC port.
    Down means: report not ready, go on serving for a while, take no new calls, let those in progress finish
    within the grace, cancel the rest, free the models, close the HTTP port.

    Raises:
        MaskweaveError: The model repository cannot be served, the engine cannot be reached, or one of the
            models makes no pictures.
        ListenError: A port is taken or an address is not this machine's.
    """
    metrics = Metrics()
    loop = asyncio.get_running_loop()
    metrics.watch_tasks(lambda: len(asyncio.all_tasks(loop)))
    async with AsyncExitStack() as stack:
        health = GatewayHealth([SERVICE_NAME])
        http_port = await stack.enter_async_context(
            http_server(
                settings.http_host, settings.http_port, metrics=metrics, is_ready=lambda: health.ready
            )
        )
        codecs = stack.enter_context(ThreadPoolExecutor(settings.codec_threads, thread_name_prefix="codec"))
        engine = _engine(settings)
        engine.watch(metrics.engine_ready)
        engine.watch(health.engine_ready)
        stack.push_async_callback(engine.close)
        await engine.start()
        layout = None if settings.layout == "auto" else Layout(settings.layout)
        catalogue = build_catalogue(engine.models(), layout)
        admission = Admission(slots=settings.slots, room=settings.max_waiting)
        metrics.watch_admission(lambda: admission.waiting, lambda: admission.running)
        synthesizer = Synthesizer(engine, catalogue, codecs, admission)
        await synthesizer.warm_up()
        metrics.serving(
            version("maskweave"), {name: model.version for name, model in engine.models().items()}
        )

        servicer = SynthesisServicer(synthesizer, metrics, max_message_bytes=settings.max_message_bytes)
        calls = Calls(
            metrics,
            max_concurrent=settings.max_concurrent,
            default_timeout_seconds=settings.default_timeout_seconds,
        )
        server = _build_server(settings, servicer, calls, health)
        grpc_port = _listen(server, settings.grpc_host, settings.grpc_port)
        await server.start()
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        stack.push_async_callback(asyncio.sleep, settings.drain_seconds)
        await health.start()
        stack.push_async_callback(health.stop)
        yield Gateway(
            address_text(settings.grpc_host, grpc_port),
            address_text(settings.http_host, http_port),
            catalogue,
        )


def _engine(settings: Settings) -> Engine:
    if settings.engine == "triton":
        return TritonEngine(
            settings.triton_urls,
            models=settings.triton_model_names,
            start_seconds=settings.triton_start_seconds,
        )
    return EmbeddedEngine(
        settings.model_repository,
        threads=settings.engine_threads,
        cache_bytes=settings.response_cache_bytes,
    )


def _build_server(
    settings: Settings, servicer: SynthesisServicer, calls: Calls, health: GatewayHealth
) -> grpc.aio.Server:
    silence_ms = int(settings.silence_seconds * 1000)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Otherwise a second gateway on the same port would start and take half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
            # Without these, what a vanished machine had open is held until the process ends.
            ("grpc.keepalive_time_ms", silence_ms),
            ("grpc.keepalive_timeout_ms", silence_ms),
            ("grpc.http2.ping_timeout_ms", silence_ms),
            ("grpc.server_handshake_timeout_ms", silence_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            *_connection_age(settings),
            (
                "grpc.max_concurrent_streams",
                max(_LEAST_STREAMS_A_CONNECTION, 2 * settings.max_concurrent),
            ),
        ]
    )
    add_synthesis_service(server, servicer, calls)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        health_service = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection((SERVICE_NAME, health_service, reflection.SERVICE_NAME), server)
    return server


def _connection_age(settings: Settings) -> list[tuple[str, int]]:
    """Limits of a connection's age; gRPC adds a tenth by chance, so that not all end at once."""
    if not settings.max_connection_age_seconds:
        return []
    grace = settings.default_timeout_seconds
    return [
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1e3)),
        ("grpc.max_connection_age_grace_ms", round(grace * 1e3)),
    ]


def _listen(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        return server.add_insecure_port(address_text(host, port))
    except RuntimeError as error:
        reason = "the port is taken, or the address is not this machine's"  # the log has gRPC's own words
        raise ListenError("grpc", host, port, reason) from error
