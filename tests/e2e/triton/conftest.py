"""Real Tritons with gateways in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maskweave_client import Client
from tests.e2e.triton.support import triton_backed
from tests.support.faces64_repository import write_faces64
from tests.support.gateway_process import GatewayProcess
from tests.support.model_repository import RepositoryWriter
from tests.support.shipped import REPOSITORY
from tests.support.slow_pack import write_slow
from tests.support.triton_process import TritonProcess, triton_process

QUEUE = """
instance_group { kind: KIND_CPU count: 1 }
dynamic_batching {
  priority_levels: 2
  default_priority_level: 1
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 30000000
    allow_timeout_override: true
    max_queue_size: 4
  }
}
"""
"""A queue as `maskweave export` writes it, but small."""


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `faces64`, and `slow` with a small queue."""
    root = tmp_path_factory.mktemp("triton_repository")
    writer = RepositoryWriter(root)
    write_faces64(writer)
    write_slow(writer, QUEUE)
    return root


@pytest.fixture(scope="session")
def triton(small_repository: Path) -> Iterator[TritonProcess]:
    """A Triton on the small repository, for tests that leave it as it is."""
    with triton_process(small_repository, "--log-verbose=1") as running:
        yield running


@pytest.fixture(scope="session")
def triton_gateway(triton: TritonProcess) -> Iterator[GatewayProcess]:
    """A gateway on that Triton."""
    with triton_backed(triton) as running:
        yield running


@pytest.fixture
def slow_client(triton_gateway: GatewayProcess) -> Iterator[Client]:
    with Client(triton_gateway.address) as client:
        yield client


@pytest.fixture(scope="session")
def shipped_triton() -> Iterator[TritonProcess]:
    """A Triton on the shipped repository, for tests that leave it as it is."""
    with triton_process(REPOSITORY, "--log-verbose=1") as running:
        yield running


@pytest.fixture(scope="session")
def shipped_by_triton(shipped_triton: TritonProcess) -> Iterator[Client]:
    """The client of a gateway on that Triton."""
    with triton_backed(shipped_triton) as gateway, Client(gateway.address) as client:
        yield client
