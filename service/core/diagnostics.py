"""What is wrong with a model repository: collected, so that one start reports all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.core.errors import MaskweaveError


@dataclass(frozen=True, slots=True)
class RepositoryProblem:
    """One thing wrong with a model repository.

    Attributes:
        file: The file at fault.
        field: The field in that file, or an empty string when the whole file is at fault.
        problem: What is wrong with it, with the value found.
        allowed: What would have been accepted.
    """

    file: str
    field: str
    problem: str
    allowed: str

    def __str__(self) -> str:
        """Read as one line: file, field, problem, what is allowed."""
        where = f"{self.file}: {self.field}" if self.field else self.file
        return f"{where}: {self.problem}; allowed: {self.allowed}"


class RepositoryError(MaskweaveError):
    """The model repository cannot be served; carries every problem found, not just the first."""

    reason = "REPOSITORY_INVALID"

    def __init__(self, problems: Sequence[RepositoryProblem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"The model repository cannot be served, {count}:{lines}")


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
