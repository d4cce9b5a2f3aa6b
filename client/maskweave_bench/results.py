"""What a benchmark leaves behind: one JSON file with everything in it, raw histograms included."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, ValidationError

from maskweave_bench.record import Record, Trial

FORMAT: Literal["maskweave-bench/1"] = "maskweave-bench/1"


class ResultsError(ValueError):
    """A file is not a benchmark's results."""


class TargetResult(Record):
    """What was measured.

    Attributes:
        name: As the user calls it.
        addresses: Where it is.
        tls: Whether connections were encrypted.
        model: The model asked for.
        model_version: Its version, as the service told it.
        about: What its metrics page tells of it, for example its version.
    """

    name: str
    addresses: list[str]
    tls: bool
    model: str
    model_version: str
    about: dict[str, str] = Field(default_factory=dict)


class KneeResult(Record):
    """What a knee search found.

    Attributes:
        target: Name of the target.
        percent: The percentile that had to be kept.
        seconds: What it was allowed to be.
        errors: The share of requests that was allowed to fail.
        rate: The highest rate that kept it; 0 when none did.
        low: Low end of the confidence interval.
        high: High end; None when no rate failed for certain.
        end: Why the search ended.
    """

    target: str
    percent: FiniteFloat
    seconds: FiniteFloat
    errors: FiniteFloat
    rate: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat | None
    end: str


class Results(Record):
    """A benchmark.

    Attributes:
        format: `FORMAT`.
        version: Of the package that wrote it.
        created: UTC, ISO 8601.
        command: The command line, without keys.
        scenario: What was asked, as it was read.
        environment: The client's machine and software.
        targets: What was measured.
        trials: In the order in which they ran.
        knees: Of knee searches.
        notes: What a reader should know.
    """

    format: Literal["maskweave-bench/1"] = FORMAT
    version: str
    created: str
    command: list[str]
    scenario: dict[str, Any]
    environment: dict[str, Any]
    targets: list[TargetResult]
    trials: list[Trial]
    knees: list[KneeResult] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the file; missing folders are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read a file that `Results.write` wrote.

    Raises:
        ResultsError: It cannot be read or is something else.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ResultsError(f"{path}: not results of maskweave bench: {place}: {first['msg']}") from error
