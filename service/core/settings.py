"""The service's settings: one frozen object. Where its values come from is `sources.py`."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.core.secrets import redacted

_MIB = 2**20
_CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cpus() -> int:
    """Number of CPUs this process may use: its affinity, cut to the container's quota, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_CPU_MAX.read_text().split()
    except (OSError, ValueError):  # no cgroup v2 here, hence no quota to respect
        return allowed
    if quota == "max":
        return allowed
    return max(1, min(allowed, int(quota) // int(period)))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A file, or None when the text is empty."""


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))


class Settings(BaseSettings):
    """Every setting of the gateway.

    Each is read from `MASKWEAVE_<NAME>` in the environment; arguments win. No setting is itself a secret:
    keys stand in files, which the settings name.
    """

    model_config = SettingsConfigDict(env_prefix="MASKWEAVE_", frozen=True, extra="forbid")

    grpc_host: str = Field(default="127.0.0.1", description="Address the gRPC server listens on.")
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    http_host: str = Field(default="127.0.0.1", description="Address that serves /metrics and /healthz.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 picks a free one.")
    tls_certificate: OptionalFile = Field(
        default=None,
        description="PEM file with the gRPC server's certificate and its chain; read anew when it changes.",
    )
    tls_key: OptionalFile = Field(
        default=None, description="PEM file with the certificate's private key, not encrypted."
    )
    tls_client_ca: OptionalFile = Field(
        default=None,
        description="PEM file with the authorities whose client certificates are accepted; with it, callers "
        "without one are turned away.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Listen without TLS beyond the loopback, for where something else encrypts.",
    )
    api_keys_file: OptionalFile = Field(
        default=None,
        description="TOML file with the hashes of the keys that callers need, as `maskweave key` writes "
        "them; read anew when it changes. Without it, callers need none.",
    )
    health_open: bool = Field(default=True, description="Answer gRPC health checks without a key.")
    reflection: bool = Field(default=True, description="Offer gRPC server reflection.")
    reflection_open: bool = Field(default=True, description="Answer reflection without a key.")

    engine: Literal["embedded", "triton"] = Field(
        default="embedded", description="What runs the models: this process, or Triton servers."
    )
    layout: Literal["auto", "ensemble", "fused"] = Field(
        default="auto",
        description="Which of a pack's layouts is served; auto takes the ensemble where there is one.",
    )
    triton_url: str = Field(
        default="",
        description="For engine triton: host:port of its gRPC, or any other gRPC target, for example "
        "dns:///triton:8001; several with commas between them.",
    )
    triton_models: str = Field(
        default="",
        description="For engine triton: models to serve, with commas between them; all that offer a pack "
        "when empty.",
    )
    triton_start_seconds: float = Field(
        default=120.0, gt=0, description="For engine triton: how long to wait at start until it is ready."
    )
    model_repository: Path = Field(
        default=Path("model_repository"), description="For engine embedded: the Triton model repository."
    )
    engine_threads: int = Field(
        default_factory=available_cpus,
        ge=1,
        le=256,
        description="For engine embedded: models that run at the same time.",
    )
    response_cache_bytes: int = Field(
        default=64 * _MIB,
        ge=0,
        description="For engine embedded: bytes of stage outputs kept for repeated inputs; 0 keeps none.",
    )

    codec_threads: int = Field(
        default_factory=available_cpus, ge=1, le=256, description="Pictures coded at the same time."
    )
    max_message_bytes: int = Field(
        default=16 * _MIB, ge=64 * 1024, le=2**31 - 1, description="Largest gRPC message, either way."
    )
    max_concurrent: int = Field(
        default=256, ge=1, description="Calls in progress; beyond it they are refused as overload."
    )
    max_running: int = Field(
        default=0,
        ge=0,
        description="Pictures made at the same time; 0 for twice engine_threads, or 64 with engine triton.",
    )
    max_waiting: int = Field(
        default=256,
        ge=0,
        description="Pictures that may wait for their turn; beyond it requests are refused as overload. "
        "All pictures of a stream or a morph wait at once.",
    )
    default_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Deadline of a request whose caller set none."
    )
    paint_idle_seconds: float = Field(
        default=300.0,
        gt=0,
        description="A session of Paint ends when its caller sends nothing, or reads no frame, for so long.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Age at which a connection is ended in an orderly way, so that clients spread over new "
        "replicas; 0 for never.",
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        description="On SIGTERM, time to go on serving while balancers notice that it is not ready.",
    )
    silence_seconds: float = Field(
        default=20.0,
        ge=1,
        description="A connection silent for so long is asked whether anybody is there, and closed after as "
        "long again without an answer; one that has not begun to speak gRPC by then is closed too.",
    )
    stop_grace_seconds: float = Field(
        default=10.0, ge=0, description="On SIGTERM, time that requests in progress have to finish."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of a log line.")

    @model_validator(mode="after")
    def _triton_has_an_address(self) -> Self:
        if self.engine == "triton" and not self.triton_urls:
            raise ValueError("engine triton needs triton_url, for example localhost:8001")
        return self

    @model_validator(mode="after")
    def _access_is_consistent(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise ValueError(
                f"{missing}: not set; tls_certificate and tls_key are set together or not at all"
            )
        if self.tls_client_ca is not None and not self.uses_tls:
            raise ValueError("tls_client_ca: needs tls_certificate and tls_key, which are not set")
        if not (self.uses_tls or self.allow_plaintext or is_loopback(self.grpc_host)):
            raise ValueError(
                f"grpc_host: got {self.grpc_host!r} without TLS; allowed: an address of the loopback, or any "
                "with tls_certificate and tls_key, or with allow_plaintext where something else encrypts"
            )
        for name in ("health_open", "reflection_open"):
            if not getattr(self, name) and self.api_keys_file is None:
                raise ValueError(f"{name}: got False without api_keys_file, so that no key would open it")
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether the gRPC port speaks TLS."""
        return self.tls_certificate is not None

    @property
    def open_to_anyone(self) -> bool:
        """Whether whoever reaches the gRPC port from another machine may have pictures made."""
        return self.api_keys_file is None and self.tls_client_ca is None and not is_loopback(self.grpc_host)

    @property
    def slots(self) -> int:
        """Pictures made at the same time."""
        # The engine's threads go on with the next picture while the event loop sees the last one out; a
        # Triton wants two batches for each of its stages.
        return self.max_running or (64 if self.engine == "triton" else 2 * self.engine_threads)

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
