"""Settings that contradict each other, and those that go together but not as one might expect.

Contradictions stop the start: with them nobody could be served, or not those whom the settings are for. What
only cuts off some requests, or has no effect, is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.app.listening import address_text, is_local
from service.core.limits import LIMITS

if TYPE_CHECKING:
    from service.app.settings import Settings

# gRPC metadata of text; the names are those that never hold a list of addresses.
_HEADER_FORM = re.compile(r"[a-z0-9_.-]{1,64}(?<!-bin)")
_NO_ADDRESS_LISTS = {"forwarded", "authorization", "x-api-key", "x-request-id"}

WILDCARDS = frozenset({"0.0.0.0", "::"})
"""Hosts that stand for every address of the machine."""

# Fields of a request besides an encoded condition.
_MESSAGE_OVERHEAD_BYTES = 64 * 1024

_MIN_MORPH_FRAMES = 2


def contradictions(settings: Settings) -> Iterator[str]:
    """Why a gateway cannot be started with these settings, naming those that do not go together."""
    if settings.engine == "triton" and not settings.triton_urls:
        yield "engine triton needs triton_url, for example localhost:8001"
    yield from _of_addresses(settings)
    yield from _of_access(settings)
    yield from _of_http_calls(settings)
    yield from _of_proxies(settings)
    try:
        settings.default_versions  # noqa: B018 - parsed to see whether it can be
    except ValueError as error:
        yield f"default_model_versions: {error}"
    if (settings.c2pa_certificate is None) != (settings.c2pa_key is None):
        missing = "c2pa_key" if settings.c2pa_key is None else "c2pa_certificate"
        yield f"{missing}: not set; c2pa_certificate and c2pa_key are set together or not at all"
    if _largest_request(settings) < _MIN_MORPH_FRAMES:
        yield (
            f"queue_capacity: got {settings.queue_capacity} with concurrency_limit "
            f"{settings.concurrency_limit}; allowed: together at least {_MIN_MORPH_FRAMES}, or no morph is "
            "ever served"
        )


def warnings(settings: Settings) -> Iterator[str]:
    """What a gateway starts with, but should be looked at."""
    largest, most = _largest_request(settings), max(LIMITS.max_images, LIMITS.max_morph_frames)
    if largest < most:
        yield (
            f"queue_capacity {settings.queue_capacity} and a concurrency of {settings.concurrency}: requests "
            f"of more than {largest} images never fit, though the limits allow {LIMITS.max_images} images "
            f"and {LIMITS.max_morph_frames} frames of a morph"
        )
    if settings.max_message_bytes < LIMITS.max_encoded_bytes + _MESSAGE_OVERHEAD_BYTES:
        yield (
            f"max_message_bytes {settings.max_message_bytes}: images and label maps of nearly "
            f"{LIMITS.max_encoded_bytes} bytes, which the limits allow, do not fit into a message"
        )
    if settings.engine == "embedded" and settings.concurrency < settings.worker_threads:
        yield (
            f"concurrency_limit {settings.concurrency_limit} and worker_threads {settings.worker_threads}: "
            f"{settings.worker_threads - settings.concurrency} threads never have anything to do"
        )
    age = settings.max_connection_age_seconds
    if 0 < age < settings.paint_idle_timeout_seconds:
        yield (
            f"max_connection_age_seconds {age:g} and paint_idle_timeout_seconds "
            f"{settings.paint_idle_timeout_seconds:g}: Paint sessions end with their connection, at the "
            f"latest {settings.default_timeout_seconds:g} s (default_timeout_seconds) after that age"
        )
    for name in ("max_pending_messages", "max_sessions"):
        in_all, per_caller = getattr(settings, name), getattr(settings, f"{name}_per_caller")
        if per_caller >= in_all > 1:
            yield f"{name} {in_all} and {name}_per_caller {per_caller}: one caller can have all of them"
    if not settings.mark_images and settings.c2pa_certificate is None:
        yield "mark_images False: nothing in an image says that a model made it, which laws may demand"
    if settings.engine == "embedded" and settings.triton_urls:
        yield f"triton_url {settings.triton_url}: has no effect with engine embedded"
    if settings.engine == "embedded" and settings.hold_while_unreachable:
        yield "hold_while_unreachable: has no effect with engine embedded"
    if settings.engine == "triton" and (
        (settings.embedded_runtime, settings.embedded_precision) != ("onnxruntime", "fp32")
    ):
        yield "embedded_runtime, embedded_precision: have no effect with engine triton"
    by_http = settings.answers_http_calls and not is_local(settings.http_host)
    if settings.uses_tls and settings.allow_plaintext and not by_http:
        yield "allow_plaintext: has no effect with tls_certificate; the gRPC port speaks TLS"
    if settings.allowed_origins and not settings.answers_http_calls:
        yield (
            f"allowed_origins {settings.allowed_origins}: has no effect, since the HTTP port answers no calls"
        )


def _largest_request(settings: Settings) -> int:
    """Images of the largest request that the queue can ever take."""
    return settings.concurrency + settings.queue_capacity


def _of_addresses(settings: Settings) -> Iterator[str]:
    hosts = {settings.grpc_host, settings.http_host}
    if settings.grpc_port == settings.http_port != 0 and (len(hosts) == 1 or hosts & WILDCARDS):
        if settings.grpc_host.startswith("unix:"):
            return
        yield (
            f"http_port: got {settings.http_port} on {settings.http_host}, where gRPC listens on "
            f"{address_text(settings.grpc_host, settings.grpc_port)}; allowed: another port than grpc_port"
        )


def _of_access(settings: Settings) -> Iterator[str]:
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        missing = "tls_key" if settings.tls_key is None else "tls_certificate"
        yield f"{missing}: not set; tls_certificate and tls_key are set together or not at all"
    if settings.tls_client_ca is not None and not settings.uses_tls:
        yield "tls_client_ca: needs tls_certificate and tls_key, which are not set"
    if not (settings.uses_tls or settings.allow_plaintext or is_local(settings.grpc_host)):
        yield (
            f"grpc_host: got {settings.grpc_host!r} without TLS; allowed: an address of the loopback or a "
            "Unix socket, or any address with tls_certificate and tls_key, or with allow_plaintext where "
            "something else encrypts"
        )
    for name in ("health_open", "reflection_open"):
        if not getattr(settings, name) and settings.api_keys_file is None:
            yield f"{name}: got False without api_keys_file, so that no key would open it"


def _of_http_calls(settings: Settings) -> Iterator[str]:
    try:
        settings.origins  # noqa: B018 - parsed to see whether it can be
    except ValueError as error:
        yield f"allowed_origins: {error}"
    try:
        settings.hosts  # noqa: B018 - parsed to see whether it can be
    except ValueError as error:
        yield f"allowed_hosts: {error}"
    if settings.http_calls != "on":
        return
    if not (settings.allow_plaintext or is_local(settings.http_host)):
        yield (
            f"http_calls: got 'on' with http_host {settings.http_host!r}, which has no TLS; allowed: an "
            "address of the loopback, or any address with allow_plaintext where something else encrypts"
        )
    if settings.tls_client_ca is not None and settings.api_keys_file is None:
        yield (
            "http_calls: got 'on' with tls_client_ca, but the HTTP port asks for no certificate; allowed: "
            "together with api_keys_file"
        )


def _of_proxies(settings: Settings) -> Iterator[str]:
    header = settings.forwarded_for_header
    if bool(header) != bool(settings.trusted_proxies):
        missing = "trusted_proxies" if header else "forwarded_for_header"
        yield f"{missing}: not set; forwarded_for_header and trusted_proxies are set together or not at all"
    if header and (not _HEADER_FORM.fullmatch(header) or header in _NO_ADDRESS_LISTS):
        yield (
            f"forwarded_for_header: got {header!r}; allowed: a name of lower-case letters, digits, -, _ "
            "and . whose value lists addresses, such as x-forwarded-for (forwarded has another form)"
        )
    try:
        settings.proxies  # noqa: B018 - parsed to see whether it can be
    except ValueError as error:
        yield f"trusted_proxies: {error}"
