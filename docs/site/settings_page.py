"""Renders `docs/settings.md` from the settings; `make settings-page` writes it."""

from __future__ import annotations

import sys

from service.app.settings import Settings
from service.app.sources import environment_name, flag_name

_INTRODUCTION = """\
# Settings

Every setting of the gateway. Each can be given in three ways, in this order of precedence:

- as a flag of `maskweave serve`, the name with hyphens: `{flag}`; settings that are yes or no have two,
  `{yes}` and `{no}`;
- as an environment variable: `{variable}`;
- by its name in the TOML file of `--config` ([example](access.md#settings-in-a-file)).

`maskweave serve --check` says whether yours are allowed, without starting.

Generated from [service/app/settings.py](../service/app/settings.py) by `make settings-page`; a test compares.

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
