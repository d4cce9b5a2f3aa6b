"""One gateway for all tests of the wire: the small repository, behind real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from tests.support.dolls_pack import write_dolls
from tests.support.faces64_repository import write_faces64, write_repository
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process
from tests.support.model_repository import RepositoryWriter
from tests.support.shipped import REPOSITORY
from tests.support.typescript_project import make_project


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model repository."""
    root = tmp_path_factory.mktemp("model_repository")
    write_repository(root)
    return root


@pytest.fixture(scope="session")
def gateway(repository: Path) -> Iterator[GatewayProcess]:
    """A gateway on the small repository."""
    with gateway_process(repository) as running:
        yield running


@pytest.fixture(scope="session")
def client(gateway: GatewayProcess) -> Iterator[Client]:
    """The client of the gateway."""
    with Client(gateway.address) as connected:
        yield connected


@pytest.fixture(scope="session")
def stub(gateway: GatewayProcess) -> Iterator[pb_grpc.SynthesisServiceStub]:
    """The generated stub, for requests that the client would not send."""
    with channel_to(gateway) as channel:
        yield pb_grpc.SynthesisServiceStub(channel)


@pytest.fixture(scope="session")
def label_map() -> NDArray[np.uint8]:
    """All eight classes as rectangles, uint8 [64, 64]."""
    return np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((32, 16), np.uint8))


@pytest.fixture(scope="session")
def dolls_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs with styles, and one without."""
    root = tmp_path_factory.mktemp("dolls")
    writer = RepositoryWriter(root)
    write_dolls(writer)
    write_faces64(writer)
    return root


@pytest.fixture(scope="session")
def dolls(dolls_repository: Path) -> Iterator[GatewayProcess]:
    """A gateway on them; it makes one image at a time."""
    with gateway_process(dolls_repository, concurrency_limit=1) as running:
        yield running


@pytest.fixture(scope="session")
def dolls_client(dolls: GatewayProcess) -> Iterator[Client]:
    """The client of that gateway."""
    with Client(dolls.address) as connected:
        yield connected


@pytest.fixture(scope="session")
def shipped() -> Iterator[GatewayProcess]:
    """A gateway on the shipped model repository."""
    with gateway_process(REPOSITORY) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def shipped_client(shipped: GatewayProcess) -> Iterator[Client]:
    """The client of that gateway."""
    with Client(shipped.address) as client:
        yield client


@pytest.fixture(scope="session")
def typescript_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody's in which the client for TypeScript is installed."""
    root = tmp_path_factory.mktemp("project")
    make_project(root)
    return root
