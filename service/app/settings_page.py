"""Renders `docs/settings.md` from the settings; `make settings-page` writes it."""

from __future__ import annotations

import sys

from service.app.settings import Settings
from service.app.sources import environment_name, flag_name

_INTRODUCTION = """\
# Settings

Generated from [service/app/settings.py](../service/app/settings.py) by `make settings-page`; a test compares.

Each is a flag of `maskweave serve`, a variable of the environment and a name in the file of `--config`: which
one wins, and what happens to contradictions, is in [access.md](access.md#settings-in-a-file). A flag is the
name with hyphens: `{flag}`; a variable is `{variable}`. Settings that are yes or no have two flags, `{yes}`
and `{no}`. `maskweave serve --check` says whether yours are allowed.

| setting | default | what it does |
|---|---|---|
"""

# What hangs on the machine is told, not its value on the one that writes the page.
_TOLD = {"worker_threads": "number of CPUs"}


def settings_page() -> str:
    """The whole page."""
    introduction = _INTRODUCTION.format(
        flag=flag_name("grpc_port"),
        variable=environment_name("grpc_port"),
        yes=flag_name("reflection"),
        no=flag_name("reflection").replace("--", "--no-"),
    )
    rows = [
        f"| `{name}` | {_TOLD.get(name) or _shown(field.get_default(call_default_factory=True))} "
        f"| {(field.description or '').replace('|', chr(92) + '|').replace('*', chr(92) + '*')} |"
        for name, field in Settings.model_fields.items()
    ]
    return introduction + "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    if default is None or default == "":
        return "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
