"""What a service's pages of Prometheus metrics say of the time between two looks at them."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

SERVER_CPU = "server cpu seconds"
"""Name of the seconds of CPU that the services used, among a trial's metrics."""

_TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 16 * 2**20
_PREFIXES = ("maskweave_", "nv_inference_", "process_cpu_seconds")
_INFO = ("maskweave_build_info", "maskweave_model_info", "python_info")

# A metrics page is close by: whatever proxy the environment names does not lead there.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class MetricsPage:
    """What several pages say, added up.

    Attributes:
        counters: By name with labels: counts, and sums and counts of histograms.
        info: What `_info` metrics tell, by their names and labels.
    """

    counters: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)


class MetricsPageError(RuntimeError):
    """A page cannot be read."""


def fetch(urls: Sequence[str]) -> MetricsPage:
    """Read pages; what has the same name on several is added up.

    Raises:
        MetricsPageError: One cannot be read.
    """
    counters: dict[str, float] = {}
    info: dict[str, str] = {}
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise MetricsPageError(
                f"metrics page: got {url!r}; allowed: an address that begins with http:// or https://"
            )
        try:
            with _opener.open(url, timeout=_TIMEOUT_SECONDS) as reply:
                text = reply.read(_MOST_BYTES).decode(errors="replace")
            page = parse(text)
        except (OSError, ValueError) as error:
            raise MetricsPageError(f"metrics page {url}: cannot be read: {error}") from error
        for name, value in page.counters.items():
            counters[name] = counters.get(name, 0.0) + value
        info.update(page.info)
    return MetricsPage(counters, info)


def parse(text: str) -> MetricsPage:
    """The counters and the information of a page; the parser makes every counter's name end in `_total`.

    Raises:
        ValueError: It is no page of metrics.
    """
    counters: dict[str, float] = {}
    info: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _INFO:
                for label, value in sample.labels.items():
                    info[f"{sample.name.removesuffix('_info')} {label}"] = value
            elif sample.name.startswith(_PREFIXES) and sample.name.endswith(("_total", "_sum", "_count")):
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                counters[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return MetricsPage(counters, info)


def between(before: MetricsPage, after: MetricsPage) -> dict[str, float]:
    """How much each counter grew; what did not grow, or began anew, is left out."""
    grown = {name: value - before.counters.get(name, 0.0) for name, value in after.counters.items()}
    return {name: value for name, value in grown.items() if value > 0}


def means(grown: Mapping[str, float]) -> dict[str, float]:
    """Means of the histograms of a time, in their unit, by name with labels."""
    found = {}
    for name, total in grown.items():
        base, brace, labels = name.partition("{")
        if base.endswith("_sum"):
            count = grown.get(f"{base.removesuffix('_sum')}_count{brace}{labels}", 0.0)
            if count > 0:
                found[f"{base.removesuffix('_sum')}{brace}{labels}"] = total / count
    return found


def server_cpu_seconds(grown: Mapping[str, float]) -> float | None:
    """Seconds of CPU that the services used; None when no page tells."""
    return grown.get("process_cpu_seconds_total")
