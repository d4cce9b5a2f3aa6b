"""The service's settings: one frozen object, read once from the environment and the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

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


class Settings(BaseSettings):
    """Every setting of the gateway.

    Each is read from `MASKWEAVE_<NAME>` in the environment; arguments (command-line flags) win.
    """

    model_config = SettingsConfigDict(env_prefix="MASKWEAVE_", frozen=True, extra="forbid")

    grpc_host: str = Field(default="127.0.0.1", description="Address the gRPC server listens on.")
    grpc_port: int = Field(default=50051, ge=0, le=65535, description="gRPC port; 0 picks a free one.")
    http_host: str = Field(default="127.0.0.1", description="Address that serves /metrics and /healthz.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 picks a free one.")
    reflection: bool = Field(default=True, description="Offer gRPC server reflection.")

    model_repository: Path = Field(
        default=Path("model_repository"), description="The Triton model repository."
    )
    engine_threads: int = Field(
        default_factory=available_cpus, ge=1, le=256, description="Models that run at the same time."
    )
    response_cache_bytes: int = Field(
        default=64 * _MIB, ge=0, description="Bytes of stage outputs kept for repeated inputs; 0 keeps none."
    )

    codec_threads: int = Field(
        default_factory=available_cpus, ge=1, le=256, description="Pictures coded at the same time."
    )
    max_message_bytes: int = Field(
        default=16 * _MIB, ge=64 * 1024, le=2**31 - 1, description="Largest gRPC message, either way."
    )
    max_concurrent: int = Field(
        default=64, ge=1, description="Requests in progress; beyond it they are refused as overload."
    )
    default_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Deadline of a request whose caller set none."
    )
    stop_grace_seconds: float = Field(
        default=10.0, ge=0, description="On SIGTERM, time that requests in progress have to finish."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of a log line.")

    def describe(self) -> str:
        """List every setting on its own line, `name = value`, for the log at start."""
        width = max(map(len, type(self).model_fields))
        return "\n".join(f"{name:<{width}} = {value}" for name, value in self)
