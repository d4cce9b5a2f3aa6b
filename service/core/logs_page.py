"""Renders `docs/logs.md` from the table of fields; `make logs-page` writes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from service.core.log_lines import ACCESS_LINE, EVERY_LINE, OTHER_LINES

_INTRODUCTION = """\
# Logs

Generated from the one table, [service/core/log_lines.py](../service/core/log_lines.py), by
`make logs-page`; a test compares, and another looks for fields that the table does not have.

A gateway logs to standard error: text for people (`log_format = "text"`, the default), or a JSON object a
line (`json`, which the chart sets). `log_level` says from which level on.

Lines are written by a thread of their own: whoever reads them, a collector or a terminal, holds up no call.
Up to 8 MiB of lines wait for a slow reader. Beyond that, and when writing fails, lines are dropped;
`maskweave_log_lines_dropped_total` counts them, and once there is room a line `lines of the log were dropped`
says how many. At the end of the process it waits up to 1 s for the last lines to be read. A crash
or SIGKILL can cost the lines of the last hundredth of a second. What gRPC and ONNX Runtime themselves write
there, which is next to nothing, does not go this way.

Nothing of what requests hold is logged: no images, label maps, strokes, style codes or latents. What looks
like an API key or a private key is masked, wherever it stands. Callers' addresses are not logged. Sentences
in `problem` repeat single values that were not allowed, shortened to 100 characters.

## Every line
"""

_ACCESS = """
## Calls
Each call of the gateway's methods has one line when it ends, `call`, whatever has become of it; not so
health checks and reflection, answered or refused (for want of a key, where they are closed): they are in no
metric of RPCs either, and whoever reaches the port could fill the log with them. `access_log = false`
switches these lines off. Of calls without a valid key, which cost whoever sends them nothing, 100 have a
line after a pause and 10 a second from then on; `maskweave_failures_total` counts all. A defect (`INTERNAL`)
has a line `request failed` besides, with the stack trace. Fields that do not apply are left out.

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
