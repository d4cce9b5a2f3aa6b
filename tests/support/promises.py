"""Promises with seconds in them: kept within a margin that grows with what else the machine does.

What comes after a promised time (a thread wakes up, a process ends) takes a moment, on a busy machine a
longer one. How much longer is measured while it happens, by a process that does a little work all the time:
so the margin can be small where the machine is quiet, and a test fails for what the gateway does and not for
what its neighbours do.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MARGIN_SECONDS = 2.0
"""What may come on top of a promise on a machine that does nothing else; a busy one gets a multiple."""

MOST_SECONDS = 30.0
"""The margin never grows beyond this."""

# Sleeps, works and counts in turn. At the end of its input it tells how many times as long work took, where
# it was slowest (its own, or that of processes which share the processors evenly), and by how many seconds
# its sleeps were late. The kernel favours who sleeps much: its own work alone would tell too little.
_PROBE = """
import os, select, sys, time
SLEEP, WORK, WINDOW = 0.03, 0.002, 1.0

def running():
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("procs_running"))

late, slowest = 0.0, 1.0
print("ready", flush=True)
while True:
    window, wall, cpu, others, looks = time.monotonic(), 0.0, 0.0, 0, 0
    ended = False
    while not ended and time.monotonic() - window < WINDOW:
        began = time.monotonic()
        ended = bool(select.select([sys.stdin], [], [], SLEEP)[0])
        late += max(time.monotonic() - began - SLEEP, 0)
        others, looks = others + running(), looks + 1
        began, worked = time.monotonic(), time.process_time()
        while time.process_time() - worked < WORK:
            pass
        wall, cpu = wall + time.monotonic() - began, cpu + time.process_time() - worked
    slowest = max(slowest, wall / cpu, others / looks / os.cpu_count())
    if ended:
        break
print(slowest, late)
"""


@dataclass(slots=True)
class Machine:
    """How busy the machine was during something that is over.

    Attributes:
        stretch: How many times as long as on an idle machine work took, where it was slowest; 1 or more.
        late: Seconds by which sleeps were late, all together.
    """

    stretch: float = 1.0
    late: float = 0.0

    @property
    def margin(self) -> float:
        """Seconds that may come on top of a promise."""
        return min(MARGIN_SECONDS * self.stretch + self.late, MOST_SECONDS)

    def check(self, seconds: float, promised: float) -> None:
        """Fail when something took longer than promised, beyond what the machine explains."""
        told = f"{seconds:.2f} s, promised were {promised:g} s, and {self.margin:.2f} s are the margin"
        assert seconds <= promised + self.margin, f"{told} of a machine {self.stretch:.1f} times as slow"


@contextmanager
def watched_machine() -> Iterator[Machine]:
    """Measure how busy the machine is; known once this context has been left."""
    machine = Machine()
    probe = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert probe.stdout is not None
        assert probe.stdout.readline() == "ready\n"
        yield machine
        told, _ = probe.communicate("\n", timeout=60)
        machine.stretch, machine.late = map(float, told.split())
    finally:
        probe.kill()
        probe.wait()
        for pipe in (probe.stdin, probe.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def in_time(promised: float, *, at_least: float = 0.0) -> Iterator[None]:
    """What is done inside must take no longer than promised, beyond what the machine explains.

    Args:
        promised: Seconds.
        at_least: Seconds that it must take.
    """
    with watched_machine() as machine:
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
    assert seconds >= at_least, f"{seconds:.2f} s, at least {at_least:g} s"
    machine.check(seconds, promised)
