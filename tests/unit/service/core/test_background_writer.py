"""Lines that a thread writes: who reads late misses none, and nobody waits for who never reads."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator

import pytest

from service.core.background_writer import BackgroundWriter
from tests.support.gateway_process import PATIENCE_SECONDS, wait_until
from tests.support.promises import in_time

LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one page: the end to read, and the end to write."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def everything(reader: int, size: int) -> bytes:
    """So many bytes, which must come."""
    found = b""
    while len(found) < size:
        found += os.read(reader, size - len(found))
    return found


def test_lines_come_out_in_order_and_whole(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    background = BackgroundWriter(writer)
    lines = [f"{number} é\n" for number in range(5000)]
    for line in lines:
        background.write(line)
    expected = "".join(lines).encode()
    assert everything(reader, len(expected)) == expected
    assert background.flush(PATIENCE_SECONDS)
    assert background.dropped == 0


def test_who_reads_nothing_costs_nobody_time_and_no_more_than_the_bound(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    background = BackgroundWriter(writer, max_bytes=10_000, lost=lambda count: f"lost {count}\n")
    with in_time(0):
        for _ in range(1000):
            background.write(LINE)
    kept = 1000 - background.dropped
    assert 100 <= kept <= 100 + 4096 // len(LINE)  # what waits, and what is in the pipe
    with in_time(0.2, at_least=0.2):
        assert not background.flush(0.2)

    assert everything(reader, kept * len(LINE)) == LINE.encode() * kept
    told = f"lost {1000 - kept}\n".encode()
    assert everything(reader, len(told)) == told
    background.write("more\n")
    assert everything(reader, 5) == b"more\n"
    assert background.flush(PATIENCE_SECONDS)


def test_lines_made_by_the_writer_come_in_order_and_count_for_what_they_hold(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    background = BackgroundWriter(writer, max_bytes=1000)
    background.write("first\n")
    background.write_later(lambda: f"second é of {threading.current_thread().name}\n", 900)
    background.write_later(lambda: "too much\n", 1001)
    background.write("third\n")
    expected = "first\nsecond é of log-writer\nthird\n".encode()
    assert everything(reader, len(expected)) == expected
    assert background.flush(PATIENCE_SECONDS)
    assert background.dropped == 1


def test_batches_are_no_larger_than_a_pipe_takes_in_one_piece(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes, or both outputs of one, may write into the same pipe."""
    sizes: list[int] = []

    def write(_: int, data: bytes) -> int:
        sizes.append(len(data))
        time.sleep(0.01)  # meanwhile more lines come
        return len(data)

    monkeypatch.setattr("service.core.background_writer.os.write", write)
    background = BackgroundWriter(pipe[1])
    for _ in range(200):
        background.write(LINE)
    background.write("y" * 6000 + "\n")
    assert background.flush(PATIENCE_SECONDS)
    assert sizes[-1] == 6001
    assert max(sizes[:-1]) == 4000
    assert sum(sizes[:-1]) == 200 * len(LINE)


def test_what_cannot_be_written_is_counted_and_a_torn_line_is_ended(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    real, full = os.write, [False]

    def write(descriptor: int, data: bytes) -> int:
        if not full[0]:
            return real(descriptor, data)
        if len(data) > 4:
            return real(descriptor, bytes(data)[:-4])  # the disk fills up in the middle
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.core.background_writer.os.write", write)
    background = BackgroundWriter(writer, lost=lambda count: f"lost {count}\n")
    full[0] = True
    background.write("first line\n")
    wait_until(lambda: background.dropped == 1, lambda: "it was not counted")
    assert everything(reader, 7) == b"first l"
    full[0] = False
    background.write("second line\n")
    expected = b"\nsecond line\nlost 1\n"
    assert everything(reader, len(expected)) == expected


def test_a_file_that_nobody_may_wait_for_is_waited_for_here(pipe: tuple[int, int]) -> None:
    """Another process that shares it has asked for writes that do not block."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    background = BackgroundWriter(writer)
    for _ in range(100):
        background.write(LINE)
    assert everything(reader, 100 * len(LINE)) == LINE.encode() * 100
    assert background.dropped == 0


def test_without_a_standard_error_all_is_dropped() -> None:
    background = BackgroundWriter(None)
    background.write(LINE)
    assert background.flush(0)
    assert background.dropped == 1
