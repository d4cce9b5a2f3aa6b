"""Ensemble and fused graph, as exported, behind real gateways on both engines: the image is the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client
from tests.support.gateway_process import gateway_process
from tests.support.triton_process import triton_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LABEL_MAP = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((32, 16), np.uint8))
SEEDS = list(range(6))


@pytest.fixture(scope="module")
def clients(repository: Path) -> Iterator[dict[tuple[str, str], Client]]:
    """By engine and layout."""
    with ExitStack() as stack:
        triton = stack.enter_context(triton_process(repository))
        engines: dict[str, dict[str, object]] = {
            "embedded": {},
            "triton": {"engine": "triton", "triton_url": triton.url},
        }
        connected = {}
        for engine, settings in engines.items():
            for layout in ("ensemble", "fused"):
                gateway = stack.enter_context(gateway_process(repository, layout=layout, **settings))
                connected[engine, layout] = stack.enter_context(Client(gateway.address))
        yield connected


@pytest.mark.parametrize("engine", ["embedded", "triton"])
def test_the_image_does_not_depend_on_the_layout(clients: dict[tuple[str, str], Client], engine: str) -> None:
    ensemble, fused = (
        np.stack(
            [
                image.to_numpy().astype(int)
                for image in clients[engine, layout].synthesize("faces64", LABEL_MAP, seeds=SEEDS).images
            ]
        )
        for layout in ("ensemble", "fused")
    )
    assert ensemble.std() > 1
    apart = np.abs(ensemble - fused)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.001


@pytest.mark.parametrize("engine", ["embedded", "triton"])
def test_the_layout_is_seen_in_the_stages(clients: dict[tuple[str, str], Client], engine: str) -> None:
    def stages(layout: str) -> set[str]:
        result = clients[engine, layout].synthesize("faces64", LABEL_MAP, seed=1)
        return {stage.stage for stage in result.timings.stages}

    assert stages("fused") == {"faces64_label_map_fused"}
    if engine == "triton":
        assert stages("ensemble") == {"faces64_label_map"}
    else:
        assert "faces64_rearranger" in stages("ensemble")


def test_models_are_described_alike(clients: dict[tuple[str, str], Client]) -> None:
    described = [client.model("faces64") for client in clients.values()]
    assert described[1:] == described[:-1]
