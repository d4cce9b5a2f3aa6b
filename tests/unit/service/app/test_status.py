"""What `maskweave status` makes of pages and answers that no gateway of ours would give."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app.connection import health_name, printable
from service.app.status import look
from service.app.status.page import PageError, parse_page, read_page
from service.app.status.text import status_text
from service.app.status.types import ModelStatus, Status
from tests.support.promises import in_time

NAMES = [
    "maskweave_engine_ready",
    "maskweave_queue_depth",
    "maskweave_requests_in_flight",
    "maskweave_workers",
    "maskweave_worker_busy_seconds_total",
    "maskweave_response_cache_capacity_bytes",
    "maskweave_runtime_info",
    "maskweave_runtime_candidate_seconds",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds_bucket",
    "maskweave_stage_duration_seconds_bucket",
    "maskweave_stage_duration_seconds_count",
    "process_start_time_seconds",
]
LABELS = [
    "",
    '{le="0.1"}',
    '{le="x"}',
    '{le="NaN"}',
    '{grpc_method="A",grpc_code="OK"}',
    '{stage="s",le="+Inf"}',
]
VALUES = ["0", "1", "-1", "NaN", "+Inf", "-Inf", "1e308", "1e-308", "0x1", "", "1 2 3"]
LINES = st.builds("{}{} {}".format, *map(st.sampled_from, (NAMES, LABELS, VALUES)))


def shown(page: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command says of a page that is there twice."""
    monkeypatch.setattr(look, "read_page", lambda url, timeout: parse_page(page))
    monkeypatch.setattr("service.app.status.look.time.sleep", lambda seconds: None)
    facts = look._measured("http://page", 1.0, 1.0, [])
    return status_text(Status("here", "http://page", "SERVING", **facts))


@given(st.lists(LINES, max_size=12).map("\n".join) | st.text(max_size=200))
def test_any_page_is_shown_or_refused(page: str) -> None:
    with pytest.MonkeyPatch.context() as patch, suppress(ValueError):
        parse_page(page)  # a page that is none is a problem that is told
        assert shown(page, patch)


def test_one_value_that_is_none_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "maskweave_engine_ready 1\nmaskweave_queue_depth NaN\nmaskweave_workers 3\n"
    assert "0 of 3 busy" in shown(page, monkeypatch)


def test_names_tell_the_terminal_nothing() -> None:
    model = ModelStatus("a\x1b]0;b\x07", "1\r2", "m", 1, 1, ("c\u202e",))
    text = printable(status_text(Status("here", "", "SERVING", models=(model,))))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "a\\x1b]0;b\\x07 1\\r2" in text


def test_a_health_that_has_no_name_is_told_by_its_number() -> None:
    assert (health_name(1), health_name(77)) == ("SERVING", "77")


@contextmanager
def trickling(data: bytes, pause: float) -> Iterator[str]:
    """A page that is sent in small pieces, and does not end."""
    done = threading.Event()

    def answer() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not done.wait(pause):
                connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
        done.set()
        thread.join()


@pytest.mark.parametrize(("data", "pause"), [(b"#", 0.05), (bytes(2**20), 0.0)])
def test_a_page_without_an_end_is_given_up(data: bytes, pause: float) -> None:
    with trickling(data, pause) as url, in_time(0.5), pytest.raises(PageError, match="does not end within"):
        read_page(url, 0.5 if pause else 60)
