"""A gateway's page of metrics, read: values by name and labels, what grew between two looks, quantiles."""

from __future__ import annotations

import math
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException

from prometheus_client.parser import text_string_to_metric_families

_MOST_BYTES = 16 * 2**20
_PART_BYTES = 2**16
_MOST_VALUE = 1e18
_GROWING = ("_total", "_sum", "_count", "_bucket")

# A metrics page is close by: whatever proxy the environment names does not lead there.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Labels = tuple[tuple[str, str], ...]


class PageError(RuntimeError):
    """The page cannot be read."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """A page.

    Attributes:
        samples: Values by name and sorted labels.
    """

    samples: Mapping[tuple[str, Labels], float]

    def select(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Labels and values of the samples of this name that have these labels."""
        for (each, found), value in self.samples.items():
            if each == name and labels.items() <= (own := dict(found)).items():
                yield own, value

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of such samples; None where there is none."""
        values = [value for _, value in self.select(name, **labels)]
        return sum(values) if values else None

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The sums of such samples by the value of one label, in the order of the page."""
        sums: defaultdict[str, float] = defaultdict(float)
        for found, value in self.select(name, **labels):
            sums[found.get(label, "")] += value
        return dict(sums)

    def since(self, earlier: MetricsPage) -> MetricsPage:
        """What was counted after an earlier page; what is no count is left out.

        A count that has become less began anew: its gateway was restarted.
        """
        grown = {}
        for key, value in self.samples.items():
            if key[0].endswith(_GROWING):
                before = earlier.samples.get(key, 0.0)
                grown[key] = value - before if value >= before else value
        return MetricsPage(grown)

    def quantile(self, part: float, histogram: str, **labels: str) -> float | None:
        """The value below which a part of what a histogram counted lies, as Prometheus reckons it.

        Args:
            part: 0 to 1.
            histogram: Its name.
            labels: Labels of the samples that count.

        Returns:
            The value, in between two bounds by proportion; the largest bound for what lies beyond it; None
            where nothing was counted.
        """
        counts: defaultdict[float, float] = defaultdict(float)
        for found, value in self.select(f"{histogram}_bucket", **labels):
            counts[float(found.get("le", "inf"))] += value
        bounds = sorted(counts)
        if not bounds or not counts[bounds[-1]]:
            return None
        wanted = part * counts[bounds[-1]]
        lower, below = 0.0, 0.0
        for bound in bounds:
            if counts[bound] >= wanted:
                if math.isinf(bound):
                    return lower
                share = (wanted - below) / (counts[bound] - below) if counts[bound] > below else 1.0
                return lower + (bound - lower) * share
            lower, below = bound, counts[bound]
        return lower


def read_page(url: str, timeout: float) -> MetricsPage:
    """Read a page.

    Args:
        url: Where it is.
        timeout: Seconds to wait.

    Raises:
        PageError: Nobody answers, or it is no page of metrics.
    """
    end, page = time.monotonic() + timeout, bytearray()
    try:
        with _opener.open(url, timeout=timeout) as reply:
            while part := reply.read1(_PART_BYTES):
                page += part
                if len(page) > _MOST_BYTES or time.monotonic() > end:
                    raise ValueError(f"it does not end within {timeout:g} s and {_MOST_BYTES} bytes")
        return parse_page(page.decode(errors="replace"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise PageError(f"{url} cannot be read: {reason}") from error
    except HTTPException as error:  # a gRPC port, for one; what it says is no text
        raise PageError(f"{url} cannot be read: the answer is not HTTP ({type(error).__name__})") from error


def parse_page(text: str) -> MetricsPage:
    """Read a page from its text; values that are no number, or beyond all reason, are left out.

    Raises:
        ValueError: It is no page of metrics.
    """
    try:
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # the parser trusts its text
        raise ValueError(f"it is no page of metrics ({type(error).__name__})") from error
    for sample in samples:
        if sample.name.endswith("_bucket"):
            float(sample.labels.get("le", "inf"))
    return MetricsPage(
        {
            (sample.name, _sorted(sample.labels.items())): sample.value
            for sample in samples
            if abs(sample.value) < _MOST_VALUE
        }
    )


def _sorted(labels: Iterable[tuple[str, str]]) -> Labels:
    return tuple(sorted(labels))
