"""What happened to each request of a load, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

OK = "OK"
"""Code of a request that was answered."""

SKIPPED_LATE = "SKIPPED_LATE"
"""Code of a request that the client could not send within the bound: its fault, not the service's."""

SKIPPED_OUTSTANDING = "SKIPPED_OUTSTANDING"
"""Code of a request not sent because too many were unanswered: the service's fault, counted as a failure."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are in seconds from the begin of the load.

    Attributes:
        number: Its number in the load.
        kind: Which request of the scenario it was.
        due: When it was to be sent.
        sent: When it was sent; NaN for one that was skipped.
        done: When its answer, or its failure, was there; for one that was skipped, when that was decided.
        code: `OK`, the name of a gRPC status code, followed by a space and the service's reason if it told
            one, or one of the codes of skipped requests.
        parts: Seconds by part of the service's work, from the reply's timings.
        images: Images that came.
        received: Bytes that came.
    """

    number: int
    kind: int
    due: float
    sent: float
    done: float
    code: str
    parts: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    received: int = 0


@dataclass(frozen=True)
class Samples:
    """Many requests, a column each, in the order in which they were due.

    Attributes:
        number: Int64 `[N]`, `Sample.number`.
        kind: Int32 `[N]`, `Sample.kind`.
        due: Float64 `[N]`, `Sample.due`.
        sent: Float64 `[N]`, `Sample.sent`.
        done: Float64 `[N]`, `Sample.done`.
        code: Int32 `[N]`, index in `codes`.
        codes: Names of the codes.
        images: Int32 `[N]`, `Sample.images`.
        received: Int64 `[N]`, `Sample.received`.
        parts: By part's name: float32 `[N]`, NaN where the reply did not have it.
    """

    number: NDArray[np.int64]
    kind: NDArray[np.int32]
    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    done: NDArray[np.float64]
    code: NDArray[np.int32]
    codes: tuple[str, ...]
    images: NDArray[np.int32]
    received: NDArray[np.int64]
    parts: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return self.due.size

    def is_code(self, *names: str) -> NDArray[np.bool_]:
        """Which requests ended with one of the codes, whatever reason is told beside it, bool `[N]`."""
        if not self.codes:
            return np.zeros(0, np.bool_)
        chosen: NDArray[np.bool_] = np.array([name.partition(" ")[0] in names for name in self.codes])[
            self.code
        ]
        return chosen

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which requests were answered, bool `[N]`."""
        return self.is_code(OK)

    @property
    def latency(self) -> NDArray[np.float64]:
        """Seconds from when each was to be sent until its end, float64 `[N]`."""
        return self.done - self.due

    @property
    def service_time(self) -> NDArray[np.float64]:
        """Seconds from when each was sent until its end, float64 `[N]`; NaN for skipped ones."""
        return self.done - self.sent

    @property
    def lag(self) -> NDArray[np.float64]:
        """Seconds by which each was sent late, float64 `[N]`; NaN for skipped ones."""
        return self.sent - self.due

    def counts(self) -> dict[str, int]:
        """Number of requests by code, the most frequent first, codes without a request left out."""
        found = {
            name: int(count)
            for name, count in zip(
                self.codes, np.bincount(self.code, minlength=len(self.codes)).tolist(), strict=True
            )
            if count
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """The requests that are chosen, bool `[N]`."""
        return Samples(
            self.number[chosen],
            self.kind[chosen],
            self.due[chosen],
            self.sent[chosen],
            self.done[chosen],
            self.code[chosen],
            self.codes,
            self.images[chosen],
            self.received[chosen],
            {name: values[chosen] for name, values in self.parts.items()},
        )


def columns(samples: Sequence[Sample]) -> Samples:
    """Samples as columns, in the order in which they were due."""
    ordered = sorted(samples, key=lambda sample: (sample.due, sample.number))
    codes = tuple(dict.fromkeys(sample.code for sample in ordered))
    index = {name: position for position, name in enumerate(codes)}
    names = dict.fromkeys(name for sample in ordered for name in sample.parts)
    parts = {name: np.full(len(ordered), np.nan, np.float32) for name in names}
    for row, sample in enumerate(ordered):
        for name, seconds in sample.parts.items():
            parts[name][row] = seconds
    return Samples(
        np.array([sample.number for sample in ordered], np.int64),
        np.array([sample.kind for sample in ordered], np.int32),
        np.array([sample.due for sample in ordered], np.float64),
        np.array([sample.sent for sample in ordered], np.float64),
        np.array([sample.done for sample in ordered], np.float64),
        np.array([index[sample.code] for sample in ordered], np.int32),
        codes,
        np.array([sample.images for sample in ordered], np.int32),
        np.array([sample.received for sample in ordered], np.int64),
        parts,
    )


def merge(many: Iterable[Samples]) -> Samples:
    """The samples of several client processes together, in the order in which they were due."""
    each = list(many)
    codes = tuple(dict.fromkeys(name for one in each for name in one.codes))
    index = {name: position for position, name in enumerate(codes)}
    names = dict.fromkeys(name for one in each for name in one.parts)
    empty: NDArray[np.float64] = np.zeros(0)
    due = np.concatenate([empty, *(one.due for one in each)])
    number = np.concatenate([np.zeros(0, np.int64), *(one.number for one in each)])
    order = np.lexsort((number, due))

    def joined(arrays: Iterable[NDArray[np.generic]], kind: type[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([np.zeros(0, kind), *arrays])[order]

    code = [np.array([index[name] for name in one.codes], np.int32)[one.code] for one in each if len(one)]
    return Samples(
        number=joined((one.number for one in each), np.int64),  # type: ignore[arg-type]
        kind=joined((one.kind for one in each), np.int32),  # type: ignore[arg-type]
        due=due[order],
        sent=joined((one.sent for one in each), np.float64),  # type: ignore[arg-type]
        done=joined((one.done for one in each), np.float64),  # type: ignore[arg-type]
        code=joined(code, np.int32),  # type: ignore[arg-type]
        codes=codes,
        images=joined((one.images for one in each), np.int32),  # type: ignore[arg-type]
        received=joined((one.received for one in each), np.int64),  # type: ignore[arg-type]
        parts={
            name: joined(  # type: ignore[misc]
                (one.parts.get(name, np.full(len(one), np.nan, np.float32)) for one in each), np.float32
            )
            for name in names
        },
    )
