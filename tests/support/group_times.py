"""Where the time of a run goes: seconds, and processors' seconds with all processes, by groups of tests."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scheduling import group_of

VARIABLE = "MASKWEAVE_TESTS_TIMES"
"""With this variable a run ends with the table."""

_TICKS = os.sysconf("SC_CLK_TCK")
_OUTPUT = "maskweave_group_times"


def processor_seconds() -> float:
    """Of this process and all that it has started, those included that have ended."""
    parents, used = dict[int, int](), dict[int, float]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
        used[int(folder.name)] = sum(map(int, fields[11:15])) / _TICKS  # its own, and of children that ended

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return sum(seconds for process, seconds in used.items() if ours(process))


class GroupTimes:
    """The plugin, in workers and in what starts them."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._group, self._began = "(start and collection)", (0.0, time.monotonic())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if (group := group_of(item.nodeid)) != self._group:
            self._end()
            self._group = group
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.pluginmanager.hasplugin(
            "dsession"
        ):  # this process has workers, which ran the tests
            self._group = "(the whole run)"
        self._end()
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_OUTPUT] = dict(self._times)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for group, (seconds, processors) in getattr(node, "workeroutput", {}).get(_OUTPUT, {}).items():
            self._add(group, seconds, processors)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("seconds, and processors' seconds, by group")
        for group, times in sorted(self._times.items(), key=lambda each: -max(each[1])):
            if max(times) >= 1:
                terminalreporter.write_line(f"{times[0]:8.1f} {times[1]:8.1f}  {group}")

    def _end(self) -> None:
        """End the group that is in progress."""
        used, now = processor_seconds(), time.monotonic()
        self._add(self._group, now - self._began[1], used - self._began[0])
        self._began = (used, now)

    def _add(self, group: str, seconds: float, processors: float) -> None:
        self._times[group][0] += seconds
        self._times[group][1] += processors
