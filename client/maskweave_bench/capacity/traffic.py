"""The traffic that a fleet is to carry: a rate over time with bursts, or a trace of what came."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from maskweave_bench.schedule import Times

_HOUR = 3600.0


class TrafficError(ValueError):
    """A description of traffic does not hold what it must."""


class Point(BaseModel):
    """A rate at a time of the day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: Annotated[FiniteFloat, Field(ge=0, le=24 * 31)]
    rate: Annotated[FiniteFloat, Field(ge=0, le=1e7)]


class Burst(BaseModel):
    """A time in which more come than usual.

    Attributes:
        hour: When it begins.
        seconds: How long it lasts.
        factor: The rate, as a multiple of what it would be.
        rise_seconds: How long it takes to rise, and to fall at its end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: Annotated[FiniteFloat, Field(ge=0, le=24 * 31)]
    seconds: Annotated[FiniteFloat, Field(gt=0, le=86400)]
    factor: Annotated[FiniteFloat, Field(ge=0, le=1000)]
    rise_seconds: Annotated[FiniteFloat, Field(ge=0, le=3600)] = 10.0


class Description(BaseModel):
    """A file of traffic.

    Attributes:
        name: For the report.
        points: Rates, in requests a second, at hours, ascending; straight lines between them.
        bursts: On top.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "unnamed"
    description: str = ""
    points: Annotated[tuple[Point, ...], Field(min_length=2, max_length=100_000)]
    bursts: Annotated[tuple[Burst, ...], Field(max_length=10_000)] = ()

    @model_validator(mode="after")
    def _ascending(self) -> Description:
        hours = [point.hour for point in self.points]
        if any(after <= before for before, after in itertools.pairwise(hours)):
            raise ValueError("points: got hours that do not ascend; allowed: each later than the one before")
        if not any(point.rate > 0 for point in self.points):
            raise ValueError("points: got no rate above 0; allowed: at least one")
        return self


@dataclass(frozen=True, eq=False)
class Traffic:
    """Requests over time.

    Attributes:
        name: For the report.
        seconds: How long it lasts.
        rates: Mean rate in each second, requests a second, `[S]`.
        times: Of a trace, when each request came; None where they come by chance.
    """

    name: str
    seconds: float
    rates: NDArray[np.float64]
    times: Times | None = None

    @property
    def requests(self) -> float:
        """How many come, on average."""
        return float(self.rates.sum())

    @property
    def peak(self) -> float:
        """The highest rate, as the mean of a minute."""
        width = min(60, self.rates.size)
        sums = np.convolve(self.rates, np.ones(width), "valid")
        return float(sums.max() / width)

    def rate_between(self, begin: float, end: float) -> float:
        """Mean rate of a stretch of whole seconds."""
        part = self.rates[round(begin) : max(round(end), round(begin) + 1)]
        return float(part.mean()) if part.size else 0.0

    def arrivals(self, begin: float, end: float, random: np.random.Generator) -> Times:
        """When requests of a stretch come: as traced, or by chance."""
        if self.times is not None:
            first, last = np.searchsorted(self.times, (begin, end))
            traced: Times = self.times[first:last]
            return traced
        seconds = np.arange(round(begin), min(round(end), self.rates.size))
        counts = random.poisson(self.rates[seconds])
        return np.sort(np.repeat(seconds, counts) + random.uniform(0, 1, int(counts.sum())))

    def scaled(self, factor: float) -> Traffic:
        """The same with more requests; of a trace, each is repeated or left out, a little aside.

        Copies come within ten seconds of the original, so that bursts stay bursts.
        """
        if factor == 1:
            return self
        rates = self.rates * factor
        if self.times is None:
            return Traffic(self.name, self.seconds, rates)
        random = np.random.default_rng(0)
        whole = int(factor)
        copies = whole + (random.uniform(size=self.times.size) < factor - whole)
        first = np.concatenate([[True], np.diff(np.repeat(np.arange(self.times.size), copies)) > 0])
        times = np.repeat(self.times, copies)
        moved = np.where(first[: times.size], times, times + random.uniform(-5, 5, times.size))
        moved = np.sort(np.clip(moved, 0, self.seconds - 1e-6))
        return Traffic(self.name, self.seconds, _counted(moved, self.seconds), moved)

    def shifted(self, hours: float) -> Traffic:
        """The same, so many hours later; what goes beyond the end comes at the begin."""
        moved = round(hours * _HOUR) % max(self.rates.size, 1)
        if not moved:
            return self
        times = None if self.times is None else np.sort((self.times + moved) % self.seconds)
        return Traffic(self.name, self.seconds, np.roll(self.rates, moved), times)

    def cut(self, hours: tuple[float, float]) -> Traffic:
        """A part of it."""
        begin, end = (min(round(hour * _HOUR), self.rates.size) for hour in hours)
        if end <= begin:
            raise TrafficError(
                f"hours: got {hours[0]:g} to {hours[1]:g}; the traffic has {self.seconds / _HOUR:g}"
            )
        times = None
        if self.times is not None:
            times = self.times[(self.times >= begin) & (self.times < end)] - begin
        return Traffic(self.name, float(end - begin), self.rates[begin:end], times)


def constant_traffic(rate: float, seconds: float) -> Traffic:
    """Requests by chance at one rate."""
    return Traffic(f"{rate:g}/s", seconds, np.full(round(seconds), rate))


def traced(name: str, times: Times) -> Traffic:
    """The traffic of a trace, whose times count from its begin, ascending."""
    seconds = float(np.ceil(times[-1] + 1e-9)) if times.size else 0.0
    if seconds < 1:
        raise TrafficError(f"trace {name}: lasts {seconds:g} s; needed: at least a second")
    return Traffic(name, seconds, _counted(times, seconds), times)


def described(description: Description) -> Traffic:
    """The traffic of a description."""
    hours = np.array([point.hour for point in description.points])
    seconds = round((hours[-1] - hours[0]) * _HOUR)
    if seconds < 1:
        raise TrafficError("points: last less than a second")
    clock = hours[0] * _HOUR + np.arange(seconds) + 0.5
    rates = np.interp(clock / _HOUR, hours, [point.rate for point in description.points])
    for burst in description.bursts:
        begin = burst.hour * _HOUR
        rise = max(burst.rise_seconds, 1e-3)
        up = np.clip(np.minimum((clock - begin) / rise, (begin + burst.seconds - clock) / rise), 0, 1)
        rates *= 1 + (burst.factor - 1) * up
    return Traffic(description.name, float(seconds), rates)


def read_description(name: str) -> Description:
    """A description from a file, or by the name of one that comes along (`day`).

    Raises:
        TrafficError: There is none, or it does not hold what it must; the message names the field.
    """
    known = builtin_descriptions()
    try:
        text = known[name] if name in known else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TrafficError(
            f"traffic: got {name!r}, which cannot be read: {error}; allowed: a file, or {', '.join(known)}"
        ) from error
    try:
        return Description.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'traffic'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        ]
        raise TrafficError(f"traffic {name}: {'; '.join(problems[:5])}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise TrafficError(f"traffic {name}: is not YAML: {error}") from error


def builtin_descriptions() -> dict[str, str]:
    """The descriptions that come along: name and text of the file."""
    folder = resources.files("maskweave_bench") / "capacity"
    return {
        file.name.removesuffix(".yaml"): file.read_text()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def _counted(times: Times, seconds: float) -> NDArray[np.float64]:
    return np.bincount(times.astype(np.int64), minlength=int(seconds)).astype(np.float64)
