"""Where the settings' values come from: flags before the environment before a TOML file before defaults.

What is wrong with them is said one line each: the setting, where its value came from, the value, what is
allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from service.app.settings import Settings
from service.core.errors import ConfigurationError
from service.core.logging import redacted

ENVIRONMENT_PREFIX = str(Settings.model_config["env_prefix"])

_MAX_VALUE_CHARS = 100


class SettingsError(ConfigurationError):
    """Settings that the service does not start with."""


def environment_name(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{setting.upper()}"


def flag_name(setting: str) -> str:
    """The command-line flag of a setting."""
    return "--" + setting.replace("_", "-")


def read_settings(flags: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Read the settings from all their sources.

    Args:
        flags: Values from the command line by setting; these win.
        file: A TOML file with settings by name; the environment wins over it.

    Raises:
        SettingsError: A value is not allowed, a name is unknown, or the file cannot be read.
    """
    in_file = {} if file is None else _read_file(file)
    in_environment = EnvSettingsSource(Settings)()
    from_file = {
        name: value for name, value in in_file.items() if name not in flags and name not in in_environment
    }

    def source(name: str) -> str:
        if name in flags:
            return flag_name(name)
        return str(file) if name in from_file else environment_name(name)

    problems = [
        f"{name} ({file}): no such setting{_suggestion(name)}"
        for name in in_file
        if name not in Settings.model_fields
    ]
    known = {name: value for name, value in from_file.items() if name in Settings.model_fields}
    try:
        settings = Settings(**(known | dict(flags)))
    except ValidationError as error:
        for found in error.errors():
            problems += _problems(found["loc"], found["input"], found["msg"], source)
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _read_file(file: Path) -> dict[str, Any]:
    try:
        file.open("rb").close()  # pydantic-settings passes over a file that is not there
        return TomlConfigSettingsSource(Settings, file).toml_data
    except OSError as error:
        raise SettingsError([f"{file}: cannot be read: {error.strerror}"]) from None
    except RecursionError:
        raise SettingsError([f"{file}: is no file of settings: it is nested too deeply"]) from None
    except ValueError as error:  # bad TOML, bad UTF-8, a number of thousands of digits
        raise SettingsError([f"{file}: is not TOML: {error}"]) from None


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else "; `maskweave serve --help` lists them all"


def _problems(
    location: tuple[int | str, ...], value: object, message: str, source: Callable[[str], str]
) -> list[str]:
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if not location:  # settings that do not go together; each line names them
        return message.splitlines()
    name = str(location[0])
    if message.startswith("got "):  # one of our own, which says what is allowed
        return [f"{name} ({source(name)}): {message}"]
    shown = redacted(repr(value))
    if len(shown) > _MAX_VALUE_CHARS:
        shown = f"{shown[:_MAX_VALUE_CHARS]}..."
    return [f"{name} ({source(name)}): got {shown}; allowed: {message}"]
