"""Collects what is wrong with a model repository, so that one start reports all of it."""

from __future__ import annotations

from collections.abc import Iterable

from service.core.errors import RepositoryError, RepositoryProblem


class Diagnostics:
    """Problems found so far, in the order found. Several threads may add to it."""

    def __init__(self) -> None:
        self.problems: list[RepositoryProblem] = []

    def add(self, file: object, field: str, problem: str, allowed: str | Iterable[str]) -> None:
        """Record one problem; `allowed` given as several values is joined to a list of them."""
        text = allowed if isinstance(allowed, str) else ", ".join(map(str, allowed)) or "nothing"
        self.problems.append(RepositoryProblem(str(file), field, problem, text))

    def raise_if_any(self) -> None:
        """Stop here when anything is wrong.

        Raises:
            RepositoryError: With every problem.
        """
        if self.problems:
            raise RepositoryError(self.problems)
