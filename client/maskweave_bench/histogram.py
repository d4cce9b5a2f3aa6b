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
        if not seconds.size:
            return histogram
        # At once into the library's array: a call of the library for each value takes microseconds.
        micros = np.clip(np.rint(seconds * _MICROSECONDS), 1, _HIGHEST).astype(np.int64)
        index = np.searchsorted(_LOWEST, micros, side="right") - 1
        counts = np.frombuffer(histogram._hdr.counts, np.int64)
        np.add.at(counts, index, 1)
        histogram._hdr.set_internal_tacking_values(int(index.min()), int(index.max()), micros.size)
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
        """The duration in seconds that `percent` of 100 do not exceed, by nearest rank; NaN without any."""
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[float]:
        """As `percentile`, of each."""
        values, counts = self.values()
        if not values.size:
            return [math.nan for _ in percents]
        cumulative = np.cumsum(counts)
        ranks = np.maximum(np.ceil(cumulative[-1] * np.asarray(percents) / 100 - 1e-9), 1)
        found: list[float] = values[np.searchsorted(cumulative, ranks)].tolist()
        return found

    @property
    def max(self) -> float:
        """The longest duration in seconds; NaN when there is none."""
        values, _ = self.values()
        return float(values[-1]) if values.size else math.nan

    @property
    def mean(self) -> float:
        """The mean duration in seconds; NaN when there is none."""
        values, counts = self.values()
        return float((values * counts).sum() / counts.sum()) if values.size else math.nan

    def values(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The durations in seconds, `[K]` ascending, and how often each was there, `[K]`.

        The library has iterators for this, which take milliseconds for each histogram; its counts are an
        array.
        """
        counts = np.frombuffer(self._hdr.counts, np.int64)
        filled = np.flatnonzero(counts)
        return _MIDDLES[filled] / _MICROSECONDS, counts[filled]


def _places() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lowest and middle of the microseconds that the library counts at each index of its array."""
    empty = HdrHistogram(1, _HIGHEST, _DIGITS)
    index = np.arange(empty.counts_len, dtype=np.int64)
    half = empty.sub_bucket_half_count
    bucket = (index >> empty.sub_bucket_half_count_magnitude) - 1
    place = (index & (half - 1)) + np.where(bucket < 0, 0, half)
    bucket = np.maximum(bucket, 0)
    lowest = place << bucket
    return lowest, lowest + ((1 << bucket) - 1) / 2


_LOWEST, _MIDDLES = _places()
