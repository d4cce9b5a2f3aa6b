"""Renders `docs/logs.md` from the table of fields; `make logs-page` writes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from service.core.log_lines import ACCESS_LINE, EVERY_LINE, OTHER_LINES

_INTRODUCTION = """\
# Logs

The lines that a gateway logs to standard error, and every field in them: as text (`log_format = "text"`, the
default), or as one JSON object a line (`json`, which the chart sets). `log_level` is the lowest level that is
logged.

- **Privacy**: no contents of requests are logged (no images, label maps, strokes, style codes or latents) and
  no addresses of callers. Anything that looks like an API key or a private key is masked. Sentences in
  `problem` repeat single values that were not allowed, shortened to 100 characters.
- **Slow readers** hold up no call: a thread of its own writes the lines. Up to 8 MiB of lines wait for a slow
  reader. Beyond that, and when writing fails, lines are dropped; `maskweave_log_lines_dropped_total` counts
  them, and once there is room a line `lines of the log were dropped` says how many.
- **At the end** of the process it waits up to 1 s for the last lines to be read. A crash or SIGKILL can lose
  the lines of the last hundredth of a second.
- gRPC and ONNX Runtime write the few lines of their own directly to standard error.

Generated from [service/core/log_lines.py](../service/core/log_lines.py) by `make logs-page`; a test compares,
and another looks for fields that are missing in the table.

## Every line
"""

_ACCESS = """
## Calls
Each call of the gateway's methods logs one line, `call`, when it ends, whatever its result. Fields that do
not apply are left out. `access_log = false` switches these lines off.

- Health checks and reflection log no line (and are in no metric of RPCs), since anybody who reaches the port
  could fill the log with them.
- Calls without a valid key are limited for the same reason: 100 lines after a pause, then 10 a second.
  `maskweave_failures_total` counts all of them.
- A defect (`INTERNAL`) logs a second line, `request failed`, with the stack trace.

```
2026-11-28T19:00:00.000Z INFO    call method="Synthesize" code="OK" seconds=0.0142 key="studio" ...
{"time": "2026-11-28T19:00:00.000Z", "level": "info", "message": "call", "method": ...}
```

"""

_OTHERS = """
## Other lines
About the gateway itself: what it loads, watches and stops.

"""


def logs_page() -> str:
    """The whole page."""
    return _INTRODUCTION + _table(EVERY_LINE) + _ACCESS + _table(ACCESS_LINE) + _OTHERS + _table(OTHER_LINES)


def _table(fields: Mapping[str, str]) -> str:
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in fields.items())
    return f"| field | what it says |\n|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(logs_page())
