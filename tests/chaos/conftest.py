"""A gateway that is treated badly, and the proof that it is none the worse for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maskweave_client import Client
from tests.support.faces64_repository import write_repository
from tests.support.footprint import leaks, settled
from tests.support.forked_python import FRESH_VARIABLE
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.load import LABEL_MAP, expected_images

Unharmed = Callable[[Callable[[], object]], None]
"""Runs a scenario until a run leaves nothing behind; the first runs fill caches, pools and allocators."""

# A leak grows with every run; an allocator that has seen the worst once does not.
_MOST_ROUNDS = 5


@pytest.fixture(scope="package", autouse=True)
def fresh_gateways() -> Iterator[None]:
    """What a process holds is measured here, so none may share memory with those of other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FRESH_VARIABLE, "1")
        yield


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model repository."""
    root = tmp_path_factory.mktemp("model_repository")
    write_repository(root)
    return root


@pytest.fixture(scope="package")
def gateway(repository: Path) -> Iterator[GatewayProcess]:
    """A gateway on the small repository, with bounds that can be reached within a test."""
    with gateway_process(
        repository,
        worker_threads=2,
        max_message_bytes=2**20,
        default_timeout_seconds=10,
        queue_capacity=1024,
        paint_idle_timeout_seconds=6,
        response_cache_bytes=2**20,
        log_level="warning",
    ) as running:
        yield running


@pytest.fixture
def unharmed_by(gateway: GatewayProcess) -> Unharmed:
    """See `Unharmed`; afterwards the gateway still gives the right images."""

    def check(scenario: Callable[[], object]) -> None:
        expected = expected_images(gateway)
        scenario()
        for _ in range(_MOST_ROUNDS):
            before = settled(gateway)
            scenario()
            if not (found := leaks(gateway, before)):
                break
        assert not found, f"not given back after {_MOST_ROUNDS} rounds: {found}"
        with Client(gateway.address) as client:
            for seed, image in expected.items():
                assert client.synthesize("faces64", LABEL_MAP, seed=seed).images == (image,)
        assert "Traceback" not in gateway.output

    return check
