"""For all tests."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support.group_times import VARIABLE, GroupTimes
from tests.support.scheduling import Scheduling, in_good_order, is_core

# Must be set before torch is imported. Its threads spin while they wait for one another: on two cores with
# other work on them, the tests' small networks took twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing asserts on a duration: hypothesis would call examples slow, and fail, on a busy machine.
settings.register_profile("maskweave", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("maskweave")


def pytest_configure(config: pytest.Config) -> None:
    """Account for the time where that is asked for."""
    if VARIABLE in os.environ:
        config.pluginmanager.register(GroupTimes())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `make check` runs; where workers share the tests, put them into a good order."""
    for item in items:
        if is_core(item):
            item.add_marker(pytest.mark.core)
    if hasattr(config, "workerinput"):
        items[:] = in_good_order(items)


def pytest_collection_finish() -> None:
    """Let the collector of cycles leave alone what is there by now: modules and thousands of tests.

    It looked through all of it again and again, which was a quarter of the time of PyTorch's exporter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """What `pytest -n` does with the tests."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)
