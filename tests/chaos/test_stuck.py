"""What nothing interrupts or nobody reads: a decoder that hangs, a log whose pipe is full."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, DeadlineExceeded, Unavailable
from tests.support.gateway_process import PATIENCE_SECONDS, gateway_process
from tests.support.load import Load, expected_images
from tests.support.png import one_channel_png
from tests.support.promises import in_time
from tests.support.stuck_decoder import HEIGHT, WIDTH, stuck_decoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GRACE_SECONDS = 1.0
HELD_SECONDS = 0.35
# After that the engine's threads are waited for, and then lines of the log.
ENGINE_SECONDS = 1.5
FLUSH_SECONDS = 1.0
STDERR = 2
PIPE_BYTES = 4096
SMALL = np.zeros((4, 4), np.uint8)


def test_a_stop_and_a_deadline_wait_for_no_decoder(repository: Path, tmp_path: Path) -> None:
    """One worker of two is in C code that never comes back: callers hear in time, and so does the kernel."""
    # Interlaced: plain files are read without Pillow.
    stuck = one_channel_png(np.zeros((HEIGHT, WIDTH), np.uint8).tolist(), interlace=True)
    with (
        gateway_process(
            repository,
            stuck_decoder(tmp_path),
            worker_threads=2,
            shutdown_grace_seconds=GRACE_SECONDS,
        ) as gateway,
        Client(gateway.address, timeout=600, retry=None) as client,
        ThreadPoolExecutor() as pool,
    ):
        with in_time(0.5), pytest.raises(DeadlineExceeded):
            client.synthesize("faces64", stuck, timeout=0.5)
        gateway.wait_for_metric("maskweave_workers_busy 1.0")
        assert client.synthesize("faces64", SMALL, seed=1).images  # the other worker

        hung = pool.submit(client.synthesize, "faces64", stuck)
        gateway.wait_for_metric("maskweave_workers_busy 2.0")
        with in_time(GRACE_SECONDS + ENGINE_SECONDS):
            with in_time(GRACE_SECONDS):
                gateway.terminate()
                with pytest.raises(Unavailable):
                    hung.result()
            assert gateway.wait() == 0
        assert "stopped" in gateway.output


def fill(writer: int) -> None:
    """Write into a pipe until it is full."""
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, bytes(size))
        except BlockingIOError:
            continue
    os.set_blocking(writer, True)


def test_a_log_that_nobody_reads_holds_up_nobody(repository: Path) -> None:
    """Not the start, not calls, not the stop; nothing is lost when somebody reads after all."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    fill(writer)
    try:
        with gateway_process(repository, None, lambda: os.dup2(writer, STDERR), worker_threads=2) as gateway:
            expected = expected_images(gateway)
            with Load(gateway, expected) as load:
                load.wait_for("right", 50)
            assert set(load.outcomes) == {"right"}
            gateway.wait_until_in_flight(0)

            calls, told = 1 + load.outcomes["right"], b""
            while told.count(b"call method=") < calls:
                told += os.read(reader, PIPE_BYTES)
            assert b"model loaded" in told
            assert gateway.metric("maskweave_log_lines_dropped_total") == 0

            fill(writer)
            with Client(gateway.address) as client:
                assert client.models()
            with in_time(HELD_SECONDS + FLUSH_SECONDS):
                gateway.terminate()
                assert gateway.wait() == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_a_start_that_fails_ends_though_nobody_reads_why(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fill(writer)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "maskweave_cli", "serve", "--model-repository", tmp_path / "missing"],
            stdout=writer,
            stderr=writer,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 1
    finally:
        os.close(reader)
        os.close(writer)
