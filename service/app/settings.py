"""The service's settings: one frozen object. Where its values come from is `sources.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.access.callers import TrustedProxies
from service.app.consistency import contradictions, warnings
from service.app.hosts import Hosts
from service.app.listening import checked_host, is_local
from service.app.process import available_cpus
from service.core.limits import CallLimits
from service.core.logging import redacted
from service.core.metric_table import LATENCY_TARGET_SECONDS
from service.engine.embedded.runtime import PRECISIONS, RUNTIMES, Allowed
from service.rpc.web.origins import Origins

_MIB = 2**20

_CALLS = CallLimits()

# Far beyond use, and within what gRPC takes: milliseconds and counts in 32 bits.
_DAY = 86_400.0
_MANY = 2**20


OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A file, or None when the text is empty."""

_ENDPOINT_FORM = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?")


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


def _checked_endpoint(value: str) -> str:
    if value and not _ENDPOINT_FORM.fullmatch(value):
        # What is in front of an @ may be a password.
        shown = re.sub(r"//.*@", "//...@", value)
        raise ValueError(f"got {shown!r}; allowed: http://HOST:PORT or https://HOST:PORT, or nothing")
    return value


def _checked_precisions(value: str) -> str:
    names = _items(value)
    if not names or len(set(names)) < len(names) or not set(names) <= set(PRECISIONS):
        raise ValueError(f"got {value!r}; allowed: one or more of {', '.join(PRECISIONS)}, each once")
    return ",".join(names)


PrecisionNames = Annotated[str, AfterValidator(_checked_precisions)]
GrpcHost = Annotated[str, AfterValidator(partial(checked_host, unix=True))]
Endpoint = Annotated[str, AfterValidator(_checked_endpoint)]
HttpHost = Annotated[str, AfterValidator(partial(checked_host, unix=False))]


class Settings(BaseSettings):
    """Every setting of the gateway.

    Each is read from `MASKWEAVE_<NAME>` in the environment; arguments win. No setting is itself a secret:
    keys are in files, which the settings name.
    """

    model_config = SettingsConfigDict(env_prefix="MASKWEAVE_", frozen=True, extra="forbid")

    grpc_host: GrpcHost = Field(
        default="127.0.0.1",
        description="Address the gRPC server listens on, or unix:/path for a Unix socket.",
    )
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    http_host: HttpHost = Field(
        default="127.0.0.1",
        description="Address that serves /metrics and /healthz, and browsers: see http_calls.",
    )
    http_port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 picks a free one.")
    http_calls: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Answer calls on the HTTP port too, which has no TLS: Connect, gRPC-Web and WebSocket. "
        "auto does where http_host is local or with allow_plaintext, but not with tls_client_ca.",
    )
    allowed_origins: str = Field(
        default="",
        description="Origins of pages that may call besides the gateway's own, for example "
        "https://paint.example.com, separated by commas; * for all.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names under which the HTTP port answers, besides addresses, localhost and "
        "http_host, separated by commas; *.example.com for all below a domain, * for any. When empty: on the "
        "loopback no others, elsewhere any.",
    )
    playground: bool = Field(
        default=True,
        description="Show the playground at / of the HTTP port, where calls are answered there.",
    )
    tls_certificate: OptionalFile = Field(
        default=None,
        description="PEM file with the gRPC server's certificate and its chain; reloaded when it changes.",
    )
    tls_key: OptionalFile = Field(
        default=None, description="PEM file with the certificate's private key, without a password."
    )
    tls_client_ca: OptionalFile = Field(
        default=None,
        description="PEM file with the authorities whose client certificates are accepted; with it, callers "
        "without a client certificate are rejected.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Allow plaintext on addresses other than loopback, for example behind a TLS proxy.",
    )
    api_keys_file: OptionalFile = Field(
        default=None,
        description="TOML file with the hashes of the API keys, as `maskweave key` writes them; reloaded "
        "when it changes. Without it, authentication is disabled.",
    )
    health_open: bool = Field(default=True, description="Answer gRPC health checks without a key.")
    reflection: bool = Field(default=True, description="Enable gRPC server reflection.")
    reflection_open: bool = Field(default=True, description="Answer reflection without a key.")

    forwarded_for_header: str = Field(
        default="",
        description="Name of the header in which trusted proxies list the addresses that a call came "
        "through, for example x-forwarded-for. Without API keys, callers are told apart by address.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Proxies whose forwarded_for_header is believed: addresses and networks in CIDR form, "
        "separated by commas, and the word unix for callers over a Unix socket.",
    )

    engine: Literal["embedded", "triton"] = Field(
        default="embedded", description="What runs the models: this process, or Triton servers."
    )
    layout: Literal["auto", "ensemble", "fused"] = Field(
        default="auto",
        description="Which layout of a pack is served; auto prefers the ensemble.",
    )
    default_model_versions: str = Field(
        default="",
        description="Version of a model for callers who name none, where there are several: NAME=VERSION, "
        "separated by commas; the newest version of models that are not listed.",
    )
    triton_url: str = Field(
        default="",
        description="For engine triton: host:port of its gRPC port, or any other gRPC target, for example "
        "dns:///triton:8001; several separated by commas.",
    )
    triton_models: str = Field(
        default="",
        description="For engine triton: models to serve, separated by commas; when empty, all that belong to "
        "a pack.",
    )
    triton_startup_timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        le=_DAY,
        description="For engine triton: how long a start waits until Triton is ready.",
    )
    hold_while_unreachable: bool = Field(
        default=False,
        description="For engine triton: while no server can be reached, keep requests in the queue until "
        "their deadline instead of refusing them.",
    )
    model_repository: Path = Field(
        default=Path("model_repository"), description="For engine embedded: the Triton model repository."
    )
    embedded_runtime: Literal["onnxruntime", "openvino", "auto"] = Field(
        default="onnxruntime",
        description="For engine embedded: what runs the models. openvino needs the extra openvino; auto "
        "measures at the start and takes the faster, so that replicas on different machines may differ.",
    )
    embedded_precision: PrecisionNames = Field(
        default="fp32",
        description="For engine embedded: precision in which models compute: fp32, bf16 (openvino, on CPUs "
        "that support it) or int8; several separated by commas for the fastest of them. bf16 and int8 need a "
        "record of `maskweave export verify --record` that images are close enough to fp32.",
    )
    worker_threads: int = Field(
        default_factory=available_cpus,
        ge=1,
        le=256,
        description="Threads that decode, run models (engine embedded) and encode.",
    )
    response_cache_bytes: int = Field(
        default=64 * _MIB,
        ge=0,
        description="For engine embedded: size of the cache of stage outputs (response_cache in their "
        "config): what follows from a seed or a condition alone, some 1 MB for a new image of faces64; "
        "0 disables it.",
    )

    max_message_bytes: int = Field(
        default=16 * _MIB, ge=64 * 1024, le=2**31 - 1, description="Largest gRPC message, received or sent."
    )
    max_concurrent_rpcs: int = Field(
        default=_CALLS.concurrent_rpcs,
        ge=1,
        le=_MANY,
        description="RPCs in progress at the same time; more are refused as overload.",
    )
    max_sessions: int = Field(
        default=_CALLS.sessions,
        ge=1,
        le=_MANY,
        description="Paint sessions at the same time; more are refused as overload.",
    )
    max_sessions_per_caller: int = Field(
        default=_CALLS.sessions_per_caller,
        ge=1,
        le=_MANY,
        description="Paint sessions of one caller at the same time.",
    )
    max_streams_per_connection: int = Field(
        default=128,
        ge=1,
        le=_MANY,
        description="RPCs of one connection at the same time; clients hold further ones back by themselves.",
    )
    max_pending_messages: int = Field(
        default=_CALLS.pending_messages,
        ge=1,
        le=_MANY,
        description="Requests whose message may be arriving at the same time. Together with max_sessions, "
        "times max_message_bytes, this bounds the memory for messages on their way.",
    )
    max_pending_messages_per_caller: int = Field(
        default=_CALLS.pending_messages_per_caller,
        ge=1,
        le=_MANY,
        description="Requests of one caller whose message may be arriving at the same time.",
    )
    max_request_memory_bytes: int = Field(
        default=_CALLS.request_memory_bytes,
        ge=16 * _MIB,
        description="Memory that requests in progress, waiting ones included, may hold by an upper estimate.",
    )
    message_timeout_seconds: float = Field(
        default=_CALLS.message_seconds,
        gt=0,
        le=_DAY,
        description="Time within which the message of a request must have arrived.",
    )
    concurrency_limit: int = Field(
        default=0,
        ge=0,
        le=_MANY,
        description="Images in progress at the same time; 0 for twice worker_threads, or for 64 with engine "
        "triton.",
    )
    queue_capacity: int = Field(
        default=256,
        ge=0,
        le=_MANY,
        description="Images that may wait in the queue; requests beyond it are refused as overload. A "
        "request queues all its images at once: a morph its frames, a stream its images.",
    )
    default_timeout_seconds: float = Field(
        default=_CALLS.timeout_seconds,
        gt=0,
        le=_DAY,
        description="Deadline of requests that come without one.",
    )
    paint_idle_timeout_seconds: float = Field(
        default=300.0,
        gt=0,
        le=_DAY,
        description="A Paint session ends when its caller sends nothing, or reads no frame, for this long.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=7 * _DAY,
        description="Age at which a connection is closed gracefully, so that clients spread over new "
        "replicas; 0 for no limit.",
    )
    shutdown_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=_DAY,
        description="Time between SIGTERM, when health turns NOT_SERVING, and the shutdown: requests are "
        "still served while load balancers take the replica out.",
    )
    keepalive_seconds: float = Field(
        default=20.0,
        ge=1,
        le=_DAY,
        description="A connection without traffic for this long is pinged, and closed when it does not "
        "answer within the same time; so is one that has not finished its handshake by then.",
    )
    shutdown_grace_seconds: float = Field(
        default=10.0,
        ge=0,
        le=_DAY,
        description="Time that requests in progress have to finish once the shutdown has begun.",
    )

    mark_images: bool = Field(
        default=True,
        description="Say in every PNG, JPEG and WebP, as XMP, that a model made the image, and which.",
    )
    c2pa_certificate: OptionalFile = Field(
        default=None,
        description="PEM file with the certificate, and its chain, with which images are signed as Content "
        "Credentials (C2PA); reloaded when it changes. Needs the extra c2pa.",
    )
    c2pa_key: OptionalFile = Field(
        default=None, description="PEM file with that certificate's private key, without a password."
    )

    latency_target_seconds: float = Field(
        default=LATENCY_TARGET_SECONDS,
        gt=0,
        le=_DAY,
        description="Latency that requests should not exceed: buckets of the latency metrics are finer "
        "around it, and it is the bound of one.",
    )
    otlp_endpoint: Endpoint = Field(
        default="",
        description="Where traces are sent, by OTLP over gRPC, for example http://localhost:4317, or "
        "https:// for TLS; when empty, none are made.",
    )
    trace_sample_ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Part of the requests that is traced, of those whose caller's trace context does not "
        "decide it.",
    )

    access_log: bool = Field(default=True, description="Log a line for every call.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Format of log lines.")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if found := list(contradictions(self)):
            raise ValueError("\n".join(found))
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a gateway starts with, but should be looked at, one line each."""
        return tuple(warnings(self))

    @property
    def call_limits(self) -> CallLimits:
        """The bounds of calls."""
        return CallLimits(
            concurrent_rpcs=self.max_concurrent_rpcs,
            sessions=self.max_sessions,
            sessions_per_caller=self.max_sessions_per_caller,
            pending_messages=self.max_pending_messages,
            pending_messages_per_caller=self.max_pending_messages_per_caller,
            request_memory_bytes=self.max_request_memory_bytes,
            timeout_seconds=self.default_timeout_seconds,
            message_seconds=self.message_timeout_seconds,
        )

    @property
    def proxies(self) -> TrustedProxies:
        """The proxies in `trusted_proxies`."""
        return TrustedProxies.parse(_items(self.trusted_proxies))

    @property
    def origins(self) -> Origins:
        """The origins in `allowed_origins`."""
        return Origins.parse(_items(self.allowed_origins))

    @property
    def hosts(self) -> Hosts:
        """The names of the HTTP port: those in `allowed_hosts`, or what goes for its address."""
        return Hosts.parse(_items(self.allowed_hosts), self.http_host)

    @property
    def answers_http_calls(self) -> bool:
        """Whether the HTTP port answers calls."""
        if self.http_calls != "auto":
            return self.http_calls == "on"
        return self.tls_client_ca is None and (self.allow_plaintext or is_local(self.http_host))

    @property
    def waits_for_engine(self) -> bool:
        """Whether requests are kept while the engine cannot be reached."""
        return self.hold_while_unreachable and self.engine == "triton"

    @property
    def default_versions(self) -> Mapping[str, str]:
        """The versions in `default_model_versions`, by the names of their models.

        Raises:
            ValueError: An entry is not a name and a version, or a name is there twice.
        """
        versions: dict[str, str] = {}
        for item in _items(self.default_model_versions):
            name, _, version = (part.strip() for part in item.partition("="))
            if not name or not version:
                raise ValueError(f"got {item!r}; allowed: NAME=VERSION, for example faces64=1.0.0")
            if name in versions:
                raise ValueError(f"got {name} twice; allowed: one version of each model")
            versions[name] = version
        return versions

    @property
    def uses_tls(self) -> bool:
        """Whether the gRPC port speaks TLS."""
        return self.tls_certificate is not None

    @property
    def open_to_anyone(self) -> bool:
        """Whether anyone who reaches one of its ports from another machine may use the service."""
        if self.api_keys_file is not None:
            return False
        by_grpc = self.tls_client_ca is None and not is_local(self.grpc_host)
        return by_grpc or (self.answers_http_calls and not is_local(self.http_host))

    @property
    def concurrency(self) -> int:
        """Images in progress at the same time: `concurrency_limit`, or what follows from the engine."""
        # The worker threads go on with the next image while the event loop sends the last one; a Triton
        # wants two batches for each of its stages.
        return self.concurrency_limit or (64 if self.engine == "triton" else 2 * self.worker_threads)

    @property
    def allowed_runtimes(self) -> Allowed:
        """What `embedded_runtime` and `embedded_precision` allow."""
        auto = self.embedded_runtime == "auto"
        runtimes = RUNTIMES if auto else tuple(name for name in RUNTIMES if name == self.embedded_runtime)
        wanted = _items(self.embedded_precision)
        return Allowed(runtimes, tuple(each for each in PRECISIONS if each in wanted))

    @property
    def triton_urls(self) -> tuple[str, ...]:
        """The addresses in `triton_url`."""
        return _items(self.triton_url)

    @property
    def triton_model_names(self) -> tuple[str, ...]:
        """The names in `triton_models`."""
        return _items(self.triton_models)

    def describe(self) -> str:
        """List every setting on its own line, `name = value`, for the log at start; secrets masked."""
        width = max(map(len, type(self).model_fields))
        return redacted("\n".join(f"{name:<{width}} = {_text(value)}" for name, value in self))


def _text(value: Any) -> str:
    return "" if value is None else str(value)
