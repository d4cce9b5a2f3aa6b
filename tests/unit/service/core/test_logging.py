import ast
import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from docs.site.logs_page import logs_page
from service.access.keys import Scope, make_key
from service.core.log_lines import ACCESS_LINE, EVERY_LINE, OTHER_LINES, configure_logging
from service.core.logging import current_request_id, request_context

ROOT = Path(__file__).parents[4]


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


@pytest.mark.parametrize("control", ["\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_what_a_terminal_takes_for_a_line_or_a_command_is_written_out(
    stream: io.StringIO, control: str
) -> None:
    assert f'model="a\\u{ord(control):04x}b"' in _logged(stream, "text", model=f"a{control}b")


@pytest.mark.parametrize("payload", [b"12345", bytearray(5), np.zeros(5, np.uint8)])
def test_payloads_are_written_as_their_size(stream: io.StringIO, payload: object) -> None:
    assert json.loads(_logged(stream, payload=payload))["payload"] == "<5 bytes>"


def test_small_numbers_are_readable(stream: io.StringIO) -> None:
    assert _logged(stream, "text", queue_seconds=6e-6, seconds=0.0142).endswith(
        " queue_seconds=0.000006 seconds=0.0142\n"
    )


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_masked_wherever_they_stand(
    stream: io.StringIO, log_format: Literal["text", "json"]
) -> None:
    key, _ = make_key("studio", [Scope.SYNTHESIZE])
    line = _logged(stream, log_format, problem=f"got {key}", files=[key])
    assert key not in line
    assert "mwk_***" in line


def test_the_page_of_the_documentation_is_that_of_the_table() -> None:
    page = (ROOT / "docs" / "logs.md").read_text()
    assert page == logs_page(), "make logs-page"
    for fields in (EVERY_LINE, ACCESS_LINE, OTHER_LINES):
        assert all(f"| `{name}` | " in page for name in fields)


def _fields_in(module: Path) -> Iterator[str]:
    """Names of the facts that a module logs: keys of what is given as `extra`, and of `facts` and `line`."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            for keyword in node.keywords:
                if keyword.arg == "extra" and node.func.attr in LEVELS:
                    assert isinstance(keyword.value, ast.Dict) or keyword.value.id in NAMES, module  # type: ignore[attr-defined]
                    if isinstance(keyword.value, ast.Dict):
                        yield from _keys(keyword.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in NAMES and isinstance(node.value, ast.Dict):
                yield from _keys(node.value)
            if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") in NAMES:
                assert isinstance(target.slice, ast.Constant)
                yield str(target.slice.value)


def _keys(literal: ast.Dict) -> Iterator[str]:
    return (str(key.value) for key in literal.keys if isinstance(key, ast.Constant))


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NAMES = {"facts", "line"}
LOGGING = [module for module in sorted((ROOT / "service").rglob("*.py")) if "extra=" in module.read_text()]


def test_every_field_is_in_the_table() -> None:
    used = {name for module in LOGGING for name in _fields_in(module)}
    assert {"method", "cached_stages", "grace_seconds", "url"} <= used  # they are found
    assert used <= EVERY_LINE.keys() | ACCESS_LINE.keys() | OTHER_LINES.keys()
    assert ACCESS_LINE.keys() | OTHER_LINES.keys() <= used


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
