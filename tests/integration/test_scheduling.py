"""How the tests are shared out: a worker that crashes costs the test in which it did, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import cast
from unittest.mock import patch

import pytest

from tests.support.scheduling import (
    FIRST,
    ONE_BY_ONE,
    TOGETHER,
    WAITING,
    Scheduling,
    begin_elsewhere,
    group_of,
    in_good_order,
)

ROOT = Path(__file__).parents[2]
FILES, TESTS = 8, 3
# One in the first groups, one after others are done, and the last of all, when nobody else has much to do.
CRASHES = {(0, 1), (5, 0), (FILES - 1, TESTS - 1)}
CONFTEST = """
from tests.support.scheduling import Scheduling


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return Scheduling(config, log)
"""


def write_tests(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST)
    for file in range(FILES):
        bodies = ["os._exit(3)" if (file, test) in CRASHES else "pass" for test in range(TESTS)]
        functions = [f"def test_{number}():\n    {body}\n" for number, body in enumerate(bodies)]
        (folder / f"test_{file}.py").write_text("\n".join(["import os\n", *functions]))


def test_a_worker_that_crashes_costs_one_test_and_holds_up_nobody(tmp_path: Path) -> None:
    write_tests(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "xdist.plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # five workers come up, with nothing that these need not
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f"{len(CRASHES)} failed, {FILES * TESTS - len(CRASHES)} passed" in done.stdout, done.stdout
    for file, test in CRASHES:
        assert f"crashed while running 'test_{file}.py::test_{test}'" in done.stdout


class Item:
    """A test, as far as its turn goes."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid

    def get_closest_marker(self, name: str) -> None:
        """It has none."""


class Worker:
    """Remembers what it is given."""

    shutting_down = False

    def __init__(self) -> None:
        self.given = list[int]()

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices


def scheduling_of(tests: list[str], *workers: Worker) -> Scheduling:
    """After the first distribution: workers that have collected these tests, and have nothing to do."""
    scheduling = Scheduling.__new__(Scheduling)
    scheduling.log = lambda *_: None
    scheduling.numnodes, scheduling.collection = 1, tests
    scheduling.assigned_work = {worker: {} for worker in workers}
    scheduling.registered_collections = dict.fromkeys(workers, tests)
    scheduling.workqueue = OrderedDict((group_of(test), {test: False}) for test in tests)
    return scheduling


def test_half_of_the_workers_begin_with_what_waits_and_go_on_with_what_is_left() -> None:
    waiting, computing = (
        [f"{WAITING[0]}::a", f"{WAITING[1]}/test_b.py::b"],
        ["tests/c.py::c", "tests/d.py::d"],
    )
    tests = [*waiting, *computing]
    computer, waiter = Worker(), Worker()
    scheduling = scheduling_of(tests, computer, waiter)
    for worker in (computer, waiter, waiter, waiter):
        scheduling._assign_work_unit(worker)
    assert [tests[index] for index in computer.given] == ["tests/c.py::c"]
    assert [tests[index] for index in waiter.given] == [*waiting, "tests/d.py::d"]
    assert not scheduling.workqueue


def test_a_worker_that_is_not_ready_is_given_nothing_until_it_is() -> None:
    """Two have crashed: the first to take a place calls for work while the second one collects."""
    tests = ["tests/c.py::c", "tests/d.py::d", "tests/e.py::e"]
    ready, collecting = Worker(), Worker()
    scheduling = scheduling_of(tests, ready, collecting)
    del scheduling.registered_collections[collecting]
    scheduling.schedule()
    assert (ready.given, collecting.given) == ([0], [])
    scheduling.registered_collections[collecting] = tests
    scheduling.schedule()
    assert (ready.given, collecting.given) == ([0, 1], [2])


def test_what_a_worker_could_not_be_given_any_more_is_given_to_others() -> None:
    tests = ["tests/c.py::c", "tests/d.py::d", "tests/e.py::e"]
    crashed, other = Worker(), Worker()
    scheduling = scheduling_of(tests, crashed, other)
    scheduling._reschedule(crashed)
    with patch.object(crashed, "send_runtest_some", side_effect=OSError("cannot send (already closed?)")):
        scheduling._reschedule(crashed)
    assert scheduling.remove_node(crashed) == "tests/c.py::c"
    scheduling._reschedule(other)
    assert sorted(other.given) == [1, 2]


def test_every_group_is_there() -> None:
    files = [str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")]
    groups = {group_of(file) for file in files}
    assert {*FIRST, *WAITING, *TOGETHER} <= groups
    for beginnings in TOGETHER.values():
        for beginning in beginnings:
            assert any(file.startswith(beginning) for file in files), beginning


def test_what_takes_long_comes_first_and_tests_that_share_nothing_may_go_apart() -> None:
    short, shapes = "tests/unit/test_a.py::a", [f"{ONE_BY_ONE}::{name}" for name in "ab"]
    items = cast("list[pytest.Item]", [Item(nodeid) for nodeid in (short, *shapes, f"{FIRST[0]}::a")])
    assert [item.nodeid for item in in_good_order(items)] == [f"{FIRST[0]}::a", *shapes, short]
    assert len({group_of(item.nodeid) for item in items}) == len(items)


def test_workers_collect_the_same_files_and_each_begins_where_no_other_does(tmp_path: Path) -> None:
    for number in range(FILES):
        (folder := tmp_path / f"place_{number % 2}").mkdir(exist_ok=True)
        (folder / f"test_{number}.py").touch()
    places = [str(folder) for folder in sorted(tmp_path.iterdir())]
    orders = [begin_elsewhere(places, worker, 4) for worker in range(4)]
    assert len({order[0] for order in orders}) == 4
    for order in orders:
        assert sorted(order) == sorted(map(str, tmp_path.rglob("test_*.py")))
    # In a quarter of the time, no file is compiled twice.
    assert sorted(file for order in orders for file in order[: FILES // 4]) == sorted(orders[0])


def test_what_a_worker_is_told_to_run_by_name_stays_as_it_is(tmp_path: Path) -> None:
    places = [str(tmp_path), f"{tmp_path}/test_1.py::test_2"]
    assert begin_elsewhere(places, 1, 4) == places
