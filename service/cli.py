"""The verb `maskweave serve`. Its options are the settings, so that the two cannot differ."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import uvloop

from service.app.run import run
from service.app.settings import Settings
from service.app.sources import ENVIRONMENT_PREFIX, SettingsError, environment_name, flag_name, read_settings
from service.core.background_writer import BackgroundWriter
from service.core.errors import ConfigurationError, MaskweaveError
from service.core.log_lines import FLUSH_SECONDS, configure_logging, descriptor_of, flush_logs
from service.engine.workers import exit_process

_logger = logging.getLogger(__name__)

_LOGS_FIRST_SECONDS = 0.2


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, field in reversed(Settings.model_fields.items()):
        flag = flag_name(name)
        default = field.get_default(call_default_factory=True)
        option = click.option(
            f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag,
            name,
            type=bool if field.annotation is bool else str,
            default=None,
            metavar=None if field.annotation is bool else "VALUE",
            help=f"{field.description} [{environment_name(name)}; "
            f"default: {'none' if default is None or default == '' else default}]",
        )
        command = option(command)
    return command


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
    help="TOML file with settings by name, for example grpc_port = 50051. "
    f"[{ENVIRONMENT_PREFIX}CONFIG; default: none]",
)
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Check the settings and the files they name, load no model, and exit: with 0 when all is well.",
)
@_settings_options
def serve(config: Path | None, only_check: bool, **flags: Any) -> None:
    """Start the gateway and keep it up until SIGTERM or Ctrl-C.

    Every option can also be set in the environment, by the name in brackets, or in the file that --config
    names; options win, then the environment, then the file.
    """
    try:
        settings = read_settings({name: value for name, value in flags.items() if value is not None}, config)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    configure_logging(settings.log_level, settings.log_format)
    if only_check:
        click.echo(settings.describe() + "\n")
        _report(settings)
        return
    # Behind the lines of the log that came before, unless nobody reads these.
    output = BackgroundWriter(descriptor_of(sys.stdout), before=lambda: flush_logs(_LOGS_FIRST_SECONDS))
    output.write(settings.describe() + "\n\n")
    for warning in settings.warnings:
        _logger.warning("look at the settings", extra={"problem": warning})
    status = 0
    try:
        uvloop.run(run(settings, output.write))
    except (ConfigurationError, MaskweaveError, OSError) as error:
        status = 1
        logging.shutdown()  # what led to it comes first
        problems = BackgroundWriter(descriptor_of(sys.stderr))
        problems.write(f"Error: {error}\n")
        problems.flush(FLUSH_SECONDS)
    output.flush(FLUSH_SECONDS)
    exit_process(status)  # at once, also beside a worker in the middle of something that nothing interrupts


def _report(settings: Settings) -> None:
    from service.app.check import check  # noqa: PLC0415 - a start does without, and takes less time

    checked = check(settings)
    for warning in checked.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if checked.problems:
        raise click.ClickException("\n".join(checked.problems))
    click.echo("ok")
