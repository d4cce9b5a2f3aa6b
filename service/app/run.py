"""Runs a gateway until it is told to stop, and says how to try it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
from collections.abc import Callable

from service.app import signals
from service.app.gateway import Gateway, running_gateway
from service.app.process import settle
from service.app.settings import Settings
from service.rpc.interceptors import SERVICE_NAME
from service.synthesis.registry.models import ConditionKind, Model

_logger = logging.getLogger(__name__)


async def run(settings: Settings, say: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. A second signal ends the process at once.

    Args:
        settings: The gateway's.
        say: Shows a text to whoever has started it, without waiting for them.

    A signal during the start, which may wait long for an inference server, gives the start up; so does one
    that `signals` has remembered from before.

    Raises:
        ConfigurationError: The certificate or the keys cannot be used.
        MaskweaveError: The model repository cannot be served, the engine cannot be reached, or one of the
            models makes no images.
        ListenError: A port is taken or an address is not this machine's.
    """
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    up = asyncio.Event()
    serving = asyncio.create_task(_serve(settings, say, up, told_to_stop))

    def stop(received: signal.Signals) -> None:
        signals.end_at_next()  # before anything tells that the first one has come
        if told_to_stop.is_set():  # the second one came while the loop had not yet handled the first
            signal.raise_signal(received)
        _logger.info(
            "stopping", extra={"signal": received.name, "grace_seconds": settings.shutdown_grace_seconds}
        )
        told_to_stop.set()
        if not up.is_set():
            serving.cancel()

    for each in signals.STOPPING:
        loop.add_signal_handler(each, stop, each)
    if (early := signals.received()) is not None:  # while the service was imported
        stop(early)
    try:
        await serving
    except asyncio.CancelledError:
        if not told_to_stop.is_set():
            raise
    _logger.info("stopped")


async def _serve(
    settings: Settings, say: Callable[[str], object], up: asyncio.Event, told_to_stop: asyncio.Event
) -> None:
    async with running_gateway(settings) as gateway:
        up.set()
        settle()
        say(_greeting(gateway, settings) + "\n")
        await told_to_stop.wait()


def _greeting(gateway: Gateway, settings: Settings) -> str:
    lines = [
        f"gRPC     {gateway.grpc_address}",
        f"metrics  http://{gateway.http_address}/metrics",
        f"health   http://{gateway.http_address}/healthz",
        f"models   {', '.join(gateway.models)}",
    ]
    if gateway.playground:
        lines.append(f"paint    http://{gateway.http_address}/")
    drawable = (model for model in gateway.models.values() if ConditionKind.LABEL_MAP in model.conditions)
    if (model := next(drawable, None)) is not None:
        lines.append(f"try      {grpcurl_line(gateway.grpc_address, model, settings)}")
    return "\n".join(lines)


# A face of 8 x 8 pixels by class names. Classes that a palette lacks become its first class.
_CLASSES = {
    ".": "background",
    "h": "hair",
    "s": "skin",
    "b": "brows",
    "e": "eyes",
    "n": "nose",
    "m": "mouth",
    "k": "neck",
}
_DRAWING = (
    "..hhhh..",
    ".hhhhhh.",
    ".hbssbh.",
    ".hessehh",
    ".hsnnshh",
    ".hsnnshh",
    ".hsmmshh",
    "kkkkkkkk",
)


def grpcurl_line(address: str, model: Model, settings: Settings) -> str:
    """A shell command that asks the gateway at `address` for an image of `model`.

    It works as it is printed on a gateway without TLS and keys; otherwise it has places to fill in.
    """
    request = {
        "model": model.name,
        "seed": 7,
        "label_map": {
            "raw": {"width": len(_DRAWING[0]), "height": len(_DRAWING), "data": _drawn_data(model)}
        },
    }
    body = json.dumps(request, separators=(",", ":"))
    options = "-cacert ca.crt" if settings.uses_tls else "-plaintext"
    if settings.tls_client_ca is not None:
        options += " -cert client.crt -key client.key"
    if settings.api_keys_file is not None:
        options += " -H 'authorization: Bearer <key>'"
    if address.startswith("unix:"):
        options, address = f"{options} -unix", address.removeprefix("unix:")
    return f"grpcurl {options} -d '{body}' {address} {SERVICE_NAME}/Synthesize"


def _drawn_data(model: Model) -> str:
    ids = {entry.name: entry.id for entry in model.palette}
    pixels = (ids.get(_CLASSES[pixel], model.class_ids[0]) for row in _DRAWING for pixel in row)
    return base64.b64encode(bytes(pixels)).decode()
