"""Triton's own statistics of a time, from the counters of its metrics page: what a request cost a model."""

from __future__ import annotations

import re
from collections.abc import Mapping

PREFIX = "triton "
"""Begins the names of these figures among a trial's metrics: `triton MODEL PART`."""

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
"""What the time of a request is made of, in Triton's words."""

BATCH = "batch"
"""Name of the mean number of inferences that were executed together."""

_COUNTER = re.compile(r"nv_inference_(\w+?)(?:_duration_us)?_total\{(.*)\}")


def triton_means(grown: Mapping[str, float]) -> dict[str, float]:
    """Seconds that a request spent in each part of each model, and the mean batch; by name.

    Args:
        grown: How much each counter grew; versions and GPUs of a model are added up.
    """
    sums: dict[tuple[str, str], float] = {}
    for name, value in grown.items():
        found = _COUNTER.fullmatch(name)
        labels = dict(pair.partition("=")[::2] for pair in found[2].split(",")) if found else {}
        if found and "model" in labels:
            place = labels["model"], found[1]
            sums[place] = sums.get(place, 0.0) + value
    means: dict[str, float] = {}
    for model in sorted({model for model, _ in sums}):
        requests = sums.get((model, "request_success"), 0.0)
        for part in PARTS:
            if requests and (model, part) in sums:
                means[f"{PREFIX}{model} {part}"] = sums[model, part] / requests / 1e6
        if executions := sums.get((model, "exec_count"), 0.0):
            means[f"{PREFIX}{model} {BATCH}"] = sums.get((model, "count"), 0.0) / executions
    return means


def by_model(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The figures of a trial's metrics, by model and part."""
    found: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        if name.startswith(PREFIX):
            model, _, part = name.removeprefix(PREFIX).rpartition(" ")
            found.setdefault(model, {})[part] = value
    return found
