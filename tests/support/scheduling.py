"""Which tests `make check` runs; which stay together, and in which order, when several workers share them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

CORE = (
    "tests/unit",
    "tests/integration/engine/embedded",
    "tests/e2e/test_bad_requests.py",
    "tests/e2e/test_conditions.py",
    "tests/e2e/test_edits.py",
    "tests/e2e/test_models.py",
    "tests/e2e/test_observability.py",
    "tests/e2e/test_paint.py",
    "tests/e2e/test_styles.py",
    "tests/e2e/test_synthesis.py",
)
"""What `make check` runs, but for tests marked `slow`: every RPC once over the wire, on shared gateways."""

TOGETHER = ("tests/chaos", "tests/e2e/triton", "tests/integration/engine")
"""Folders whose tests run on one worker: they share what is dear to start. Other files go one by one."""

FIRST = (
    "tests/integration/training/test_training.py",
    "tests/integration/export/test_export.py",
    "tests/e2e/triton",
    "tests/chaos",
)
"""What several workers begin with: on a worker each, the two that make what others would wait for (the tiny
pack's weights, its exported graphs); then what takes longest."""

_Item = TypeVar("_Item", bound=pytest.Item)


def is_core(item: pytest.Item) -> bool:
    """Whether `make check` runs a test."""
    file = item.nodeid.partition("::")[0]
    return any(file == each or file.startswith(each + "/") for each in CORE) and not item.get_closest_marker(
        "slow"
    )


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each worker a group of tests at a time, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The folder or file whose tests run on one worker."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(folder + "/")), file)


def in_good_order(items: Iterable[_Item]) -> list[_Item]:
    """Tests for several workers: no worker waits for what another one makes, nor is left with a long group.

    The groups of `FIRST`, those with slow tests, those that start processes, and all others, which are short.
    """
    groups: dict[str, list[_Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)

    def turn(group: str) -> int:
        if group in FIRST:
            return FIRST.index(group)
        if any(item.get_closest_marker("slow") for item in groups[group]):
            return len(FIRST)
        return len(FIRST) + (1 if group.startswith("tests/e2e/") else 2)

    return [item for group in sorted(groups, key=turn) for item in groups[group]]
