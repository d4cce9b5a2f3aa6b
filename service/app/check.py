"""Looks at everything that a start would stumble over, without starting: `maskweave serve --check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.app.certificates import read_pair
from service.app.credentials import read_keys, tls_files
from service.app.settings import Settings
from service.app.signing import read_signing_certificate, signing_files
from service.core.diagnostics import RepositoryError
from service.core.errors import ConfigurationError
from service.engine.embedded.choice import possible_runtimes
from service.engine.embedded.loading import check_repository


@dataclass(slots=True)
class Checked:
    """What was found.

    Attributes:
        problems: Why the gateway would not start, one line each.
        warnings: What it would start with, but should be looked at.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(settings: Settings) -> Checked:
    """Check the files that the settings name: certificate, keys, and the configs of the model repository.

    Models are not loaded, ports not opened, and a Triton not asked.
    """
    checked = Checked(warnings=list(settings.warnings))
    files = tls_files(settings)
    if files is not None:
        with _noted(checked):
            checked.warnings += read_pair(files).warnings
    if (signing := signing_files(settings)) is not None:
        with _noted(checked):
            checked.warnings += read_signing_certificate(signing).warnings
    if settings.api_keys_file is not None:
        with _noted(checked):
            read_keys(settings.api_keys_file)
    if settings.engine == "embedded":
        with _noted(checked):
            checked_repository = check_repository(settings.model_repository)
            possible = possible_runtimes(checked_repository, settings.allowed_runtimes)
            checked.warnings += possible.refused
    if settings.open_to_anyone:
        checked.warnings.append(
            f"grpc_host {settings.grpc_host}: whoever reaches the gRPC port may have images made, "
            "since neither api_keys_file nor tls_client_ca is set"
        )
    return checked


@contextmanager
def _noted(checked: Checked) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        checked.problems += error.problems
    except RepositoryError as error:
        checked.problems += map(str, error.problems)
