"""Renders `docs/commands.md` from the commands themselves; `make commands-page` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from maskweave_cli import SUMMARIES, main

_INTRODUCTION = """\
# Command line

Every command and option of `maskweave`, as `--help` shows them. Which of them are installed depends on the
package:

| commands | package (extra) | in a checkout |
|---|---|---|
| `models`, `draw`, `edit`, `morph`, `bench` | `maskweave-client` (`cli`, `bench`), there as `maskweave-client VERB` and `maskweave-bench` | `pip install './client[cli,bench]'` |
| `serve`, `health`, `status`, `key`, and those above but for `bench` | `maskweave` (`serve`) | `.venv/serve/bin`, made by `make serve` |
| all | `maskweave` (`train`, `export`) | `.venv/dev/bin`, made by `make dev-env` |

Generated from the commands by `make commands-page`; a test compares.

| command | what it does |
|---|---|
"""

_ELSEWHERE = {"serve": "Its options are the [settings](settings.md), and:"}
"""Commands whose options other pages tell."""
_OWN = {"serve": {"--config", "--check"}}
_WIDTH = 100


def commands_page() -> str:
    """The whole page."""
    context = click.Context(main, info_name="maskweave")
    rows = [f"| [`maskweave {name}`](#maskweave-{name}) | {SUMMARIES[name]} |" for name in SUMMARIES]
    parts = [_INTRODUCTION + "\n".join(rows) + "\n"]
    for name in SUMMARIES:
        command = main.get_command(context, name)
        assert command is not None
        parts += _sections(command, name, context)
    return "\n".join(parts)


def _sections(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, max_content_width=_WIDTH, terminal_width=_WIDTH
    )
    level = "##" if parent.parent is None else "###"
    if name in _ELSEWHERE:
        own = [each for each in command.get_params(context) if set(each.opts) & _OWN[name]]
        records = [record for each in own if (record := each.get_help_record(context))]
        formatter = context.make_formatter()
        formatter.write_dl(records)
        help_text = " ".join((command.help or "").split())
        shown = f"```text\n{formatter.getvalue()}```\n"
        yield f"{level} {context.command_path}\n\n{help_text}\n\n{_ELSEWHERE[name]}\n\n{shown}"
        return
    yield f"{level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            nested = command.get_command(context, each)
            assert nested is not None
            yield from _sections(nested, each, context)


if __name__ == "__main__":
    sys.stdout.write(commands_page())
