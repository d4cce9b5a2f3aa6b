"""The verb `maskweave serve`. Its options are the settings, so that the two cannot differ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import click
from pydantic import ValidationError

from service.app.run import run
from service.core.errors import MaskweaveError
from service.core.logging import configure_logging
from service.core.settings import Settings


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    prefix = Settings.model_config["env_prefix"]
    for name, field in reversed(Settings.model_fields.items()):
        flag = "--" + name.replace("_", "-")
        option = click.option(
            f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag,
            name,
            type=bool if field.annotation is bool else str,
            default=None,
            metavar=None if field.annotation is bool else "VALUE",
            help=f"{field.description} [{prefix}{name.upper()}; "
            f"default: {field.get_default(call_default_factory=True)}]",
        )
        command = option(command)
    return command


@click.command()
@_settings_options
def serve(**flags: Any) -> None:
    """Start the gateway and keep it up until SIGTERM or Ctrl-C.

    Every option can also be set in the environment, by the name in brackets; options win.
    """
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc']))}: got {fault['input']!r}; {fault['msg']}"
            for fault in error.errors()
        )
        raise click.UsageError("\n".join(faults)) from error
    configure_logging(settings.log_level, settings.log_format)
    click.echo(settings.describe() + "\n")
    try:
        asyncio.run(run(settings))
    except (MaskweaveError, OSError) as error:
        raise click.ClickException(str(error)) from error
