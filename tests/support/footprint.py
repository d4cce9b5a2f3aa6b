"""What a gateway holds: memory, descriptors, threads, tasks, turns. What it does not give back is a leak."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path

from tests.support.gateway_process import GatewayProcess, samples_of

_SETTLING_SECONDS = 60.0
_GAUGES = (
    "maskweave_requests_in_flight",
    "maskweave_images_in_progress",
    "maskweave_queue_depth",
    "maskweave_event_loop_tasks",
)

_MEMORY_GROWTH = 0.05
# gRPC keeps a pool of threads that grows by a few under a burst and shrinks in its own time.
_THREADS_OF_THE_POOL = 4


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one process holds at a moment.

    Attributes:
        descriptors: Open file descriptors, sockets included.
        connections: TCP connections that are not merely closed by the other side and forgotten.
        threads: Threads.
        memory_bytes: Proportional set size: pages shared with other processes count in part.
        in_flight: Calls in progress.
        running: Images being made.
        waiting: Images that wait for their turn.
        tasks: Tasks of the event loop.
    """

    descriptors: int
    connections: int
    threads: int
    memory_bytes: int
    in_flight: int
    running: int
    waiting: int
    tasks: int

    @classmethod
    def of(cls, gateway: GatewayProcess) -> Footprint:
        """Look at a gateway."""
        samples = dict.fromkeys(_GAUGES, 0)
        for sample in samples_of(gateway.get("/metrics"), _GAUGES):
            samples[sample.name] += int(sample.value)
        process = Path(f"/proc/{gateway.process.pid}")
        sockets = {
            target.removeprefix("socket:[").removesuffix("]")
            for target in _targets(process / "fd")
            if target.startswith("socket:[")
        }
        tables = (process / "net" / name for name in ("tcp", "tcp6"))
        rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
        return cls(
            descriptors=len(_targets(process / "fd")),
            connections=sum(row[3] != "0A" and row[9] in sockets for row in rows),  # 0A listens
            threads=len(list((process / "task").iterdir())),
            memory_bytes=_kilobytes(process / "smaps_rollup", "Pss:") * 1024,
            in_flight=samples["maskweave_requests_in_flight"],
            running=samples["maskweave_images_in_progress"],
            waiting=samples["maskweave_queue_depth"],
            tasks=samples["maskweave_event_loop_tasks"],
        )

    def leaks_since(self, before: Footprint) -> dict[str, str]:
        """What this has more than it may, compared with an earlier look at the same process."""
        allowed = {field.name: getattr(before, field.name) for field in fields(before)}
        allowed["threads"] += _THREADS_OF_THE_POOL
        allowed["memory_bytes"] = int(before.memory_bytes * (1 + _MEMORY_GROWTH))
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: f"{getattr(before, name)} before, {value} after"
            for name, value in found.items()
            if value > allowed[name]
        }


def settled(gateway: GatewayProcess) -> Footprint:
    """The footprint once nothing is in progress and two looks in a row show the same but for memory."""
    end = time.monotonic() + _SETTLING_SECONDS
    latest = Footprint.of(gateway)
    while time.monotonic() < end:
        time.sleep(0.25)
        earlier, latest = latest, Footprint.of(gateway)
        steady = (earlier.descriptors, earlier.threads, earlier.tasks) == (
            latest.descriptors,
            latest.threads,
            latest.tasks,
        )
        if steady and latest.in_flight == latest.running == latest.waiting == 0:
            break
    return latest


def leaks(gateway: GatewayProcess, before: Footprint) -> dict[str, str]:
    """Wait until a gateway holds no more than it did before; what it has too much if that does not come.

    Memory is not waited for: allocators give it back in the course of work or not at all.
    """
    end = time.monotonic() + _SETTLING_SECONDS
    while found := settled(gateway).leaks_since(before):
        if found.keys() == {"memory_bytes"} or time.monotonic() > end:
            break
    return found


def _targets(directory: Path) -> list[str]:
    found = []
    for entry in directory.iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:  # closed since it was listed
            continue
    return found


def _kilobytes(file: Path, name: str) -> int:
    line = next(line for line in file.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
