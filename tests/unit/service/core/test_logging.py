import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest

from service.core.logging import configure_logging, current_request_id, request_context


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def _logged(stream: io.StringIO, log_format: Literal["text", "json"] = "json", **extra: Any) -> str:
    configure_logging("info", log_format, stream)
    logging.getLogger("service.test").info("hello", extra=extra)
    return stream.getvalue()


def test_json_is_one_object_per_line_with_its_facts(stream: io.StringIO) -> None:
    entry = json.loads(_logged(stream, model="faces64", seconds=0.25))
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "service.test",
        "message": "hello",
        "model": "faces64",
        "seconds": 0.25,
    }


def test_text_ends_with_the_facts(stream: io.StringIO) -> None:
    assert _logged(stream, "text", model="faces64").endswith('INFO    hello model="faces64"\n')


def test_a_line_break_in_a_fact_does_not_forge_a_line(stream: io.StringIO) -> None:
    assert _logged(stream, "text", caller="x\n2026 INFO forged").count("\n") == 1


@pytest.mark.parametrize("payload", [b"12345", bytearray(5), np.zeros(5, np.uint8)])
def test_payloads_are_written_as_their_size(stream: io.StringIO, payload: object) -> None:
    assert json.loads(_logged(stream, payload=payload))["payload"] == "<5 bytes>"


def test_an_exception_comes_with_its_traceback(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger().exception("failed")
    assert "ValueError: broken" in json.loads(stream.getvalue())["exception"]


def test_the_level_cuts_off_what_is_below(stream: io.StringIO) -> None:
    configure_logging("warning", "text", stream)
    logging.getLogger("service.test").info("quiet")
    assert stream.getvalue() == ""


async def test_each_task_logs_its_own_request_id(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    async def handle(request_id: str) -> None:
        with request_context(request_id):
            await asyncio.sleep(0)
            await asyncio.create_task(_log_in_a_task())

    async def _log_in_a_task() -> None:
        logging.getLogger().info(current_request_id())

    await asyncio.gather(handle("a"), handle("b"))
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(entry["message"], entry["request_id"]) for entry in entries} == {("a", "a"), ("b", "b")}
    assert current_request_id() == ""
