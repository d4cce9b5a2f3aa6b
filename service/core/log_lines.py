"""Lines of the log: text for people, JSON for machines, and the table of what stands in them.

Both forms carry the same facts. Contents of requests do not belong into a log: binary values are written as
their size, and what looks like a key is masked. `docs/logs.md` is made of the table.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import IO, Any, Literal

from pythonjsonlogger.json import JsonFormatter

from service.core.background_writer import BackgroundWriter
from service.core.logging import current_request_id, redacted

EVERY_LINE: Mapping[str, str] = MappingProxyType(
    {
        "time": "When, in UTC: `2026-11-28T19:00:00.000Z`.",
        "level": "`debug`, `info`, `warning` or `error`.",
        "logger": "The module that says it.",
        "message": "What happened: always the same words, facts are in the other fields.",
        "request_id": "The call that it is about: the caller's `x-request-id`, or one made up here.",
        "exception": "The stack trace of a defect.",
    }
)
"""Fields of all lines; the last two where there is one."""

ACCESS_LINE: Mapping[str, str] = MappingProxyType(
    {
        "method": "The method, `Synthesize`.",
        "code": "The gRPC status, `OK` or `INVALID_ARGUMENT`.",
        "seconds": "From its arrival to its status.",
        "reason": "Of a failure: the reason that its caller was told, as in [errors.md](errors.md).",
        "problem": "Of a failure: the sentence that its caller was told.",
        "key": "The id of the key that it came with; keys themselves are never logged.",
        "received_bytes": "Bytes of the messages that came.",
        "sent_bytes": "Bytes of the messages that went out.",
        "model": "The model that was asked for, once the request was checked.",
        "model_version": "Its version.",
        "images": "Images, or other results, that were made.",
        "queue_seconds": "Waits of its images for their turns, all together.",
        "worker_seconds": "Wait of the first image for a worker after that.",
        "decode_seconds": "Reading what the caller sent.",
        "stages_seconds": "Stages of the model, all together, their waits included.",
        "encode_seconds": "Making files of the images, all together.",
        "cached_stages": "Stages that the response cache answered.",
        "trace_id": "Of its trace, if it has one.",
    }
)
"""Fields of the line `call`, one for each call."""

OTHER_LINES: Mapping[str, str] = MappingProxyType(
    {
        "files": "Files that were read anew.",
        "grace_seconds": "Time that calls in progress have to finish.",
        "host": "Address that is listened on.",
        "keys": "Number of keys.",
        "lines": "Lines of the log that were dropped: whoever reads them was too slow.",
        "models": "Number of models.",
        "model": "A model of the repository.",
        "precision": "What models compute in.",
        "problem": "What is wrong.",
        "reason": "Why a server is not ready, or a runtime or a label reader cannot serve.",
        "runtime": "What runs the models.",
        "runtime_version": "Its version.",
        "seconds": "How long it took, or may take.",
        "signal": "Signal that was received.",
        "stages": "Number of stages.",
        "url": "Address of an inference server.",
        "urls": "Addresses of the inference servers.",
        "version": "Version of a model of the repository.",
        "why": "Why this runtime and precision.",
        "method": "The method whose call failed.",
        "code": "The status of the call that failed.",
    }
)
"""Fields of lines about the gateway itself."""

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""What JSON leaves as it is and a terminal may take for the end of a line or a command."""

_EXACT = 1e-4
"""Numbers below it are written out by Python as powers of ten, which nobody reads in passing."""


_PLAIN = frozenset((int, float, bool, type(None)))
"""Types of facts, besides texts, that nobody changes later."""

_RECORD_BYTES = 2048
"""What a record takes in memory besides its texts."""

FLUSH_SECONDS = 1.0
"""How long the end of the process waits for lines that are not written yet."""

_logger = logging.getLogger(__name__)


class BackgroundHandler(logging.Handler):
    """Writes lines to standard error, on a thread of its own: who logs waits for nobody.

    Args:
        formatter: Makes the lines.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._writer = BackgroundWriter(descriptor_of(sys.stderr), lost=self._lost)

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written. One of plain facts is made on the thread that writes, too."""
        facts = _plain_facts(record)
        if facts is None:
            self._writer.write(self._line(record))
            return
        request_id = current_request_id()
        if request_id:
            record.__dict__.setdefault("request_id", request_id)
        self._writer.write_later(partial(self._line, record), _RECORD_BYTES + facts)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:  # a defect of whoever logs: `handleError` would write in the foreground
            return redacted(traceback.format_exc())

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait for what is not written yet, so many seconds at most."""
        self._writer.flush(seconds)

    def _lost(self, count: int) -> str:
        what = "lines of the log were dropped"
        facts = {"lines": count}
        record = _logger.makeRecord(_logger.name, logging.WARNING, "", 0, what, (), None, extra=facts)
        return f"{self.format(record)}\n"


def configure_logging(level: str, log_format: Literal["text", "json"], stream: IO[str] | None = None) -> None:
    """Send all logging of the process to standard error, in the background, or to `stream`, in one form."""
    formatter = JsonLines() if log_format == "json" else TextLines()
    handler: logging.Handler = BackgroundHandler(formatter)
    if stream is not None:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def dropped_lines() -> int:
    """Lines of the log that were not written since the start."""
    return sum(each.dropped for each in _handlers())


def flush_logs(seconds: float) -> None:
    """Wait for lines of the log that are not written yet, so long at most."""
    for each in _handlers():
        each.flush(seconds)


def _handlers() -> Iterator[BackgroundHandler]:
    return (each for each in logging.getLogger().handlers if isinstance(each, BackgroundHandler))


def descriptor_of(stream: IO[str] | None) -> int | None:
    """The descriptor of a standard stream; None if it was closed at the start, and may be another file's."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None


# Made once: `json.dumps` makes one for each line.
_encoder = json.JSONEncoder(ensure_ascii=False, default=str)


def _serialized(log_data: Mapping[str, Any], **_: object) -> str:
    return _encoder.encode(log_data)


class JsonLines(JsonFormatter):
    """One JSON object per line, with the facts as keys."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            json_serializer=_serialized,
        )

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Take over what the record has."""
        log_data["time"] = _time(record)
        super().add_fields(log_data, record, message_dict)
        log_data["level"] = record.levelname.lower()
        log_data.update(_facts(record))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Render the line."""
        return redacted(super().jsonify_log_record(log_data))


class TextLines(logging.Formatter):
    """Time, level, message, then the facts as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` on one line, followed by its traceback when it has one."""
        facts = "".join(f" {name}={_shown(value)}" for name, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{facts}"
        return redacted(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def _shown(value: object) -> str:
    if isinstance(value, (int, float)):
        return f"{value:.6f}" if 0 < abs(value) < _EXACT else str(value)
    return json.dumps(value, ensure_ascii=False, default=str).translate(_CONTROLS)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = {
        name: _printable(value) for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES
    }
    request_id = current_request_id()
    if request_id:
        facts.setdefault("request_id", request_id)
    return facts


def _plain_facts(record: logging.LogRecord) -> int | None:
    """Bytes of the texts in a record whose line is the same whenever it is made; None if it may not be."""
    if record.args or record.exc_info or record.stack_info:
        return None
    size = 0
    for name, value in vars(record).items():
        kind = type(value)
        if kind is str:
            size += len(value)
        elif kind not in _PLAIN and name not in _STANDARD_ATTRIBUTES:
            return None
    return size


def _printable(value: object) -> object:
    size = len(value) if isinstance(value, (bytes, bytearray)) else getattr(value, "nbytes", None)
    return value if size is None else f"<{size} bytes>"
