"""For all tests."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.group_times import VARIABLE, GroupTimes
from tests.support.scheduling import Scheduling, begin_elsewhere, in_good_order, in_order_of_files, is_core

# Must be set before torch is imported. Its threads spin while they wait for one another: on two cores with
# other work on them, the tests' small networks took twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each run tries the same examples, so that none fails for what another one did not try; with this variable,
# others. Nothing asserts on a duration: hypothesis would call examples slow, and fail, on a busy machine.
settings.register_profile(
    "maskweave",
    deadline=None,
    max_examples=50,  # `make fuzz` tries far more
    derandomize="MASKWEAVE_TESTS_RANDOM" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("maskweave")

# While thousands of tests are collected, next to nothing of what is made becomes garbage: the collector of
# cycles need not look through it again and again.
gc.set_threshold(100_000)


def is_no_event_of_a_closed_loop(record: logging.LogRecord) -> bool:
    """Whether a record is none of gRPC's about a loop that has ended.

    One poller of gRPC's serves all loops of a process, and each test has its own: what arrives for one that
    is closed is logged by the next one, whose test may say that nothing is.
    """
    error = record.exc_info[1] if record.exc_info else None
    return "PollerCompletionQueue" not in record.getMessage() or str(error) != "Event loop is closed"


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What this test logs: tasks that earlier tests have left complain before it, and not during it."""
    gc.collect()
    caplog.clear()
    return caplog


def pytest_configure(config: pytest.Config) -> None:
    """Account for the time where that is asked for; keep one test's log out of another's."""
    logging.getLogger("asyncio").addFilter(is_no_event_of_a_closed_loop)
    if VARIABLE in os.environ:
        config.pluginmanager.register(GroupTimes())
    if worker := getattr(config, "workerinput", None):
        number = int(worker["workerid"].removeprefix("gw"))
        config.args = begin_elsewhere(config.args, number, worker["workercount"])


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Mark what `make check` runs; where workers share the tests, put them into a good order."""
    for item in items:
        if is_core(item):
            item.add_marker(pytest.mark.core)
    if shared := hasattr(config, "workerinput"):
        items[:] = in_order_of_files(items)  # first, as pytest's own order builds on it
    yield
    if shared:
        items[:] = in_good_order(items)


def pytest_collection_finish() -> None:
    """Let the collector of cycles leave alone what is there by now: modules and thousands of tests.

    It looked through all of it again and again, which was a quarter of the time of PyTorch's exporter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collect what a file of tests has left: a socket that is still open fails a test of that file.

    It was found whenever the collector came by, and failed a test of any other file. What outlives the file
    is left alone from then on, or each file would take longer than the one before.
    """
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """What `pytest -n` does with the tests."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)
