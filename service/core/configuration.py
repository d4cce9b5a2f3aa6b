"""What is said when something that the service is started with cannot be used."""

from __future__ import annotations

from collections.abc import Iterable

from service.core.secrets import redacted


class ConfigurationError(ValueError):
    """Settings, or a file that they name, cannot be used. The text never has a secret.

    Args:
        problems: Every problem found, one line each: where it is, what is there, what is allowed.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(redacted, problems))
        super().__init__("\n".join(self.problems))
