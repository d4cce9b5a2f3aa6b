"""A replica that nobody has measured yet: figures that somebody states, in a file of YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from maskweave_bench.capacity.curve import Curve, CurveError, fit
from maskweave_bench.capacity.station import Station
from maskweave_bench.results import read_results


class Stated(BaseModel):
    """A replica, as it is stated.

    Attributes:
        name: For the report, with where the figures are from.
        rate: Requests a second that it can do at most.
        milliseconds: What a request takes on a server when it is alone.
        servers: Requests that are worked on at once.
        spread: Standard deviation of the logarithm of that time.
        overhead_milliseconds: What callers wait beyond: network and client.
        images_per_request: Images in each request.
        cpu_milliseconds: CPU that each takes, where an autoscaler looks at CPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rate: Annotated[FiniteFloat, Field(gt=0, le=1e6)]
    milliseconds: Annotated[FiniteFloat, Field(gt=0, le=3.6e6)]
    servers: Annotated[int, Field(ge=1, le=1024)]
    spread: Annotated[FiniteFloat, Field(ge=0, le=2)] = 0.1
    overhead_milliseconds: Annotated[FiniteFloat, Field(ge=0, le=60_000)] = 0.0
    images_per_request: Annotated[FiniteFloat, Field(gt=0, le=1024)] = 1.0
    cpu_milliseconds: Annotated[FiniteFloat, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Stated:
        self.station(1.0)
        return self

    def station(self, patience: float) -> Station:
        """The queue of it."""
        return Station.stated(
            rate=self.rate,
            seconds=self.milliseconds / 1e3,
            servers=self.servers,
            spread=self.spread,
            overhead=self.overhead_milliseconds / 1e3,
            patience=patience,
        )


def read_curve(path: Path, target: str | None, *, patience: float) -> Curve:
    """A replica from a file: results of a benchmark (JSON), or figures that are stated (YAML).

    Raises:
        CurveError: It does not hold what it must.
        ResultsError: It is JSON, but no results.
    """
    if path.suffix not in {".yaml", ".yml"}:
        return fit(read_results(path), target, patience=patience)
    try:
        stated = Stated.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'curve'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        ]
        raise CurveError(f"{path}: {'; '.join(problems)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CurveError(f"{path}: cannot be read as YAML: {error}") from error
    return Curve(
        stated.name,
        stated.station(patience),
        images_per_request=stated.images_per_request,
        cpu_per_request=None if stated.cpu_milliseconds is None else stated.cpu_milliseconds / 1e3,
        warnings=("The curve is stated, not measured.",),
    )
