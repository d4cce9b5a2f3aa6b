"""Nowhere to write: serving needs no disk, and a log that cannot be written takes no request down."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, InvalidRequest
from tests.support.gateway_process import gateway_process
from tests.support.load import Load, expected_images

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STDERR = 2
LOG_BYTES = 4096


def no_file_may_grow() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def log_to_a_full_disk() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), STDERR)


def log_to_nobody() -> None:
    reader, writer = os.pipe()
    os.dup2(writer, STDERR)
    os.close(reader)


@pytest.mark.parametrize("trouble", [no_file_may_grow, log_to_a_full_disk, log_to_nobody])
def test_a_gateway_serves_without_a_disk(
    repository: Path, tmp_path: Path, trouble: Callable[[], object]
) -> None:
    environment = {"TMPDIR": str(tmp_path / "missing"), "HOME": str(tmp_path / "missing")}
    with gateway_process(
        repository, environment, trouble, worker_threads=2, response_cache_bytes=2**16
    ) as gateway:
        expected = expected_images(gateway)
        with Client(gateway.address) as client, Load(gateway, expected) as load:
            for _ in range(50):  # each is a line in the log
                with pytest.raises(InvalidRequest):
                    client.synthesize("faces64", np.full((2, 2), 9, np.uint8))
            load.wait_for("right", 50)
        assert set(load.outcomes) == {"right"}


def test_the_disk_fills_while_the_log_is_written(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def log_to_a_small_disk() -> None:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), STDERR)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))

    with gateway_process(repository, None, log_to_a_small_disk, worker_threads=2) as gateway:
        expected = expected_images(gateway)
        with Client(gateway.address) as client, Load(gateway, expected) as load:
            for _ in range(100):
                with pytest.raises(InvalidRequest):
                    client.synthesize("faces64", np.full((2, 2), 9, np.uint8))
            load.wait_for("right", 20)
        assert set(load.outcomes) == {"right"}
    assert log.stat().st_size == LOG_BYTES
