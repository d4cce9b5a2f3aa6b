"""HdrHistograms of durations: one microsecond to one hour, three significant digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

_MICROSECONDS = 1e6
_HIGHEST = 3_600_000_000
_DIGITS = 3


class HistogramError(ValueError):
    """A text is not an encoded histogram."""


def enough(percent: float, requests: int) -> bool:
    """Whether there are requests enough for a percentile: at least one beyond it."""
    return requests * (100 - percent) >= 99.999


class Histogram:
    """Durations in seconds, to three significant digits, however many there are."""

    def __init__(self) -> None:
        self._hdr = HdrHistogram(1, _HIGHEST, _DIGITS)

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Histogram:
        """A histogram of durations in seconds, finite, `[N]`; negative ones count as 0."""
        histogram = cls()
        micros = np.clip(np.rint(seconds * _MICROSECONDS), 1, _HIGHEST).astype(np.int64)
        for value, count in zip(
            *(each.tolist() for each in np.unique(micros, return_counts=True)), strict=True
        ):
            histogram._hdr.record_value(value, count)
        return histogram

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """A histogram from the text of `encode`.

        Raises:
            HistogramError: It is no such text.
        """
        histogram = cls()
        try:
            histogram._hdr.decode_and_add(text.encode("ascii"))
        except Exception as error:  # the library raises what zlib, base64 and struct do, and its own
            raise HistogramError(
                f"histogram: got {text[:20]!r}...; allowed: an encoded HdrHistogram"
            ) from error
        return histogram

    @classmethod
    def merged(cls, many: Iterable[Histogram]) -> Histogram:
        """All of them in one."""
        histogram = cls()
        for each in many:
            histogram.add(each)
        return histogram

    def record(self, seconds: float, count: int = 1) -> None:
        """Count a duration."""
        micros = round(min(max(seconds * _MICROSECONDS, 1.0), float(_HIGHEST)))
        self._hdr.record_value(micros, count)

    def add(self, other: Histogram) -> None:
        """Count all durations of another histogram."""
        self._hdr.add(other._hdr)

    def encode(self) -> str:
        """The histogram as text, in HdrHistogram's own compressed form (V2, base64)."""
        encoded: bytes = self._hdr.encode()
        return encoded.decode("ascii")

    def __len__(self) -> int:
        return int(self._hdr.get_total_count())

    def percentile(self, percent: float) -> float:
        """The duration in seconds that `percent` of 100 do not exceed; NaN when there is none."""
        if not len(self):
            return math.nan
        value: int = self._hdr.get_value_at_percentile(percent)
        return min(value, int(self._hdr.get_max_value())) / _MICROSECONDS

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """As `percentile`, of each."""
        return [self.percentile(percent) for percent in percents]

    @property
    def max(self) -> float:
        """The longest duration in seconds; NaN when there is none."""
        return int(self._hdr.get_max_value()) / _MICROSECONDS if len(self) else math.nan

    @property
    def mean(self) -> float:
        """The mean duration in seconds; NaN when there is none."""
        return float(self._hdr.get_mean_value()) / _MICROSECONDS if len(self) else math.nan

    def values(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The durations in seconds, `[K]` ascending, and how often each was there, `[K]`."""
        items = [
            (item.value_iterated_to, item.count_added_in_this_iter_step)
            for item in self._hdr.get_recorded_iterator()
        ]
        durations, counts = zip(*items, strict=True) if items else ((), ())
        return np.array(durations, np.float64) / _MICROSECONDS, np.array(counts, np.int64)
