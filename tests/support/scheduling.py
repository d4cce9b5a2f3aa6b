"""Which tests `make check` runs; which stay together, and in which order, when several workers share them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

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

SHIPPED = "tests/e2e, on the shipped models"
SCENARIOS = "tests/helm, of all scenarios"
TOGETHER = {
    "tests/chaos": ("tests/chaos/",),
    "tests/e2e/triton": ("tests/e2e/triton/",),
    "tests/integration/engine": ("tests/integration/engine/",),
    SHIPPED: (
        "tests/e2e/test_playground.py",
        "tests/e2e/test_readme.py",
        "tests/e2e/test_shipped_",
        "tests/e2e/test_style_examples.py",
        "tests/e2e/test_web.py",
    ),
    SCENARIOS: (
        "tests/helm/test_checkov.py",
        "tests/helm/test_design.py",
        "tests/helm/test_gateway.py",
        "tests/helm/test_render.py",
        "tests/helm/test_rules.py",
        "tests/helm/test_schemas.py",
    ),
}
"""Groups of tests that run on one worker, by how their files' names begin: they share what is dear to start.
Other files go one by one."""

ONE_BY_ONE = "tests/integration/training/test_published_shapes.py"
"""A file whose tests take minutes each and share nothing: each of them is a group."""

FIRST = (
    "tests/integration/training/test_training.py",
    "tests/integration/export/test_export.py",
    SHIPPED,
    ONE_BY_ONE,
    "tests/integration/training/test_ranks.py",
    "tests/e2e/test_own_stylegan2.py",
    "tests/e2e/test_benchmark.py",
    SCENARIOS,
    "tests/integration/training/test_own_images.py",
    "tests/integration/training/test_account.py",
    "tests/integration/training/test_few_shot.py",
    "tests/integration/export/test_verify.py",
    "tests/integration/training/test_styles.py",
    "tests/e2e/test_docs_site.py",
)
"""What workers that compute begin with: on a worker each, the two that make what others would wait for (the
tiny pack's weights, its exported graphs); then what takes longest, so that all end at about the same time."""

WAITING = (
    "tests/e2e/test_capacity.py",
    "tests/chaos",
    "tests/helm/test_autoscaler_loop.py",
    "tests/e2e/triton",
    "tests/e2e/test_bench.py",
    "tests/e2e/test_keepalive.py",
    "tests/helm/test_prometheus.py",
    "tests/e2e/test_lifecycle.py",
)
"""What mostly waits, for times that are part of what is tested, the longest first. Half of the workers begin
with these, so that the processors have something to do all the while."""

_Item = TypeVar("_Item", bound=pytest.Item)


def is_core(item: pytest.Item) -> bool:
    """Whether `make check` runs a test."""
    file = item.nodeid.partition("::")[0]
    return any(file == each or file.startswith(each + "/") for each in CORE) and not item.get_closest_marker(
        "slow"
    )


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each worker a group of tests at a time, in the order in which they were collected.

    Every second worker takes what waits as long as there is any, the others what computes.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; if it has crashed, others run what it has left but for the test that ended it.

        xdist would hand that test out again, and groups that are done: who gets one of those waits for ever.

        Returns:
            The test in which it crashed; None if it had nothing to do.
        """
        groups = self.assigned_work.pop(node)
        left = {group: [test for test, done in tests.items() if not done] for group, tests in groups.items()}
        crashed: str | None = next((test for tests in left.values() for test in tests), None)
        if crashed is None:
            return None
        for group, tests in reversed(left.items()):
            if again := {test: False for test in tests if test != crashed}:
                self.workqueue[group] = again
                self.workqueue.move_to_end(group, last=False)
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        if node in self.registered_collections:  # one that takes a crashed one's place may not be ready
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        waits = self.nodes.index(node) % 2 == 1
        mine = (group for group in self.workqueue if (group in WAITING) == waits)
        self.workqueue.move_to_end(next(mine, next(iter(self.workqueue))), last=False)
        with suppress(OSError):  # it has crashed, which is heard of later: then others get this, too
            super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def begin_elsewhere(places: list[str], worker: int, workers: int) -> list[str]:
    """Test files in the order in which a worker collects them, another one for each worker.

    Whoever is the first to import a file of tests compiles it, which is half of the time of a collection: in
    one order for all, each worker would compile each file.

    Args:
        places: What pytest is told to run; it stays as it is if it is not of folders alone.
        worker: The worker's number, from 0.
        workers: How many there are.
    """
    if not all(Path(place).is_dir() for place in places):
        return places
    files = [str(file) for place in places for file in sorted(Path(place).rglob("test_*.py"))]
    # One forwards and one backwards from each of the places where they begin.
    begin = len(files) * (worker % workers // 2 * 2) // workers
    files = files[begin:] + files[:begin]
    return files if worker % 2 == 0 else files[::-1]


def in_order_of_files(items: Iterable[_Item]) -> list[_Item]:
    """Tests in the same order on each worker; those of a file stay as they are."""
    return sorted(items, key=lambda item: item.nodeid.partition("::")[0])


def group_of(nodeid: str) -> str:
    """The group, file or test that runs on one worker."""
    file = nodeid.partition("::")[0]
    if file == ONE_BY_ONE:
        return nodeid
    return next((group for group, files in TOGETHER.items() if file.startswith(files)), file)


def in_good_order(items: Iterable[_Item]) -> list[_Item]:
    """Tests for several workers: no worker waits for what another one makes, nor is left with a long group.

    The groups of `FIRST` and of `WAITING`, those with slow tests, those that start processes, and all others,
    which are short.
    """
    begin = (*FIRST, *WAITING)
    groups: dict[str, list[_Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)

    def turn(group: str) -> int:
        if (place := group.partition("::")[0]) in begin:
            return begin.index(place)
        if any(item.get_closest_marker("slow") for item in groups[group]):
            return len(begin)
        return len(begin) + (1 if group.startswith("tests/e2e/") else 2)

    return [item for group in sorted(groups, key=turn) for item in groups[group]]
