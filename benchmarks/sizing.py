"""Measure what a replica takes in memory and CPU: `python -m benchmarks.sizing`, for docs/performance.md.

A gateway of its own for each row, on the embedded engine. Memory is resident: idle, then the most during the
row (the kernel's own high-water mark, set back after the start). CPU is the time of the gateway's process
alone. One caller asks, from this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import click
import grpc

from benchmarks.environment import fingerprint
from benchmarks.local_service import LocalService, local_service
from benchmarks.page import FIGURES
from benchmarks.requests import ROOT
from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc

MIB = 2**20
OUTPUT = FIGURES / "sizing.json"
CALLERS = (4, 16, 64)
LIMITS = (2, 4, 16, 64)
"""Of `concurrency_limit`."""
MESSAGES_MIB = (1, 4, 16)
"""Of `max_message_bytes`."""
AT_ONCE = 8
"""As many messages of one caller as may be on their way by default."""
SESSIONS = (1, 8, 32)
CANVAS = 1024
"""Width and height of the canvases of sessions."""
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_EXEMPLAR_PIXELS = 2048 * 2048
_MESSAGE_REST = 64 * 1024

Row = dict[str, Any]
Work = Callable[[Any], Awaitable[Counter[str]]]


class Watched:
    """What a process uses."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def status_mib(self, name: str) -> float:
        """A line of its status that is in kB."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"{name} is not in its status")

    def forget_peak(self) -> None:
        """Let its high-water mark begin anew."""
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """Time of processors since its start."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(service: LocalService, work: Work) -> Row:
    """What work costs a gateway."""
    watched = Watched(service.pid)
    row: Row = {"idle_mib": watched.status_mib("VmRSS")}
    watched.forget_peak()
    async with grpc.aio.insecure_channel(service.address, options=_OPTIONS) as channel:
        began, cpu = time.perf_counter(), watched.cpu_seconds()
        outcomes = await work(pb_grpc.SynthesisServiceStub(channel))
        seconds, cpu = time.perf_counter() - began, watched.cpu_seconds() - cpu
    row |= {"peak_mib": watched.status_mib("VmHWM"), "after_mib": watched.status_mib("VmRSS")}
    return row | {"seconds": seconds, "cpu_seconds": cpu, "outcomes": dict(outcomes)}


def request(**fields: Any) -> pb.SynthesizeRequest:
    """A request for one image; the same seed would be answered in part by the cache."""
    return pb.SynthesizeRequest(model="faces64", **fields)


def blank(side: int) -> pb.LabelMap:
    """A label map of one class."""
    return pb.LabelMap(raw=pb.RawLabelMap(data=bytes(side * side), width=side, height=side))


def asking(callers: int, seconds: float) -> Work:
    """So many calls at any time, for so long."""

    async def work(stub: Any) -> Counter[str]:
        outcomes, end, seeds = Counter[str](), time.perf_counter() + seconds, iter(range(2**32))

        async def ask() -> None:
            while time.perf_counter() < end:
                await outcome(stub.Synthesize(request(label_map=blank(64), seed=next(seeds))), outcomes)

        await asyncio.gather(*(ask() for _ in range(callers)))
        return outcomes

    return work


async def outcome(call: Awaitable[Any], outcomes: Counter[str]) -> None:
    """Wait for a call, and count how it ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        outcomes[error.code().name] += 1
        await asyncio.sleep(0.05)
    else:
        outcomes["OK"] += 1


def sending(message_bytes: int, rounds: int) -> Work:
    """The largest valid messages of that size, as many at once as one caller may send, so many times."""

    async def work(stub: Any) -> Counter[str]:
        outcomes = Counter[str]()
        pixels = min((message_bytes - _MESSAGE_REST) // 3, _EXEMPLAR_PIXELS)
        width = 1024 if pixels < _EXEMPLAR_PIXELS else 2048
        height = pixels // width
        data = os.urandom(3 * width * height)
        exemplar = pb.Exemplar(raw=pb.RawPicture(data=data, width=width, height=height))
        for seed in range(rounds):
            await asyncio.gather(
                *(
                    outcome(stub.Synthesize(request(exemplar=exemplar, seed=seed)), outcomes)
                    for _ in range(AT_ONCE)
                )
            )
        return outcomes

    return work


def painting(sessions: int, seconds: float) -> Work:
    """So many open sessions, each with a canvas and a frame, idle after that."""

    async def work(stub: Any) -> Counter[str]:
        outcomes = Counter[str]()
        start = pb.PaintStart(model="faces64", label_map=blank(CANVAS), seed=1)
        calls = [stub.Paint() for _ in range(sessions)]
        for call in calls:
            await call.write(pb.PaintRequest(start=start))
            await outcome(call.read(), outcomes)
        await asyncio.sleep(seconds)
        for call in calls:
            call.cancel()
        return outcomes

    return work


def rows(seconds: float, *, quick: bool) -> Mapping[str, list[Row]]:
    """Every row, by table."""
    base = {"LOG_LEVEL": "warning", "MODEL_REPOSITORY": str(ROOT / "model_repository")}

    def run(settings: Mapping[str, object], work: Work) -> Row:
        given = {name.upper(): str(value) for name, value in settings.items()}
        with local_service({**base, **given}) as service:
            # The first work of a kind allocates what later work uses again.
            asyncio.run(measured(service, asking(2, 0.5)))
            return {"settings": dict(settings), **asyncio.run(measured(service, work))}

    def few(values: tuple[int, ...]) -> tuple[int, ...]:
        return values[:1] if quick else values

    return {
        "callers": [{"callers": each, **run({}, asking(each, seconds))} for each in few(CALLERS)],
        "concurrency": [
            {"callers": 64, **run({"concurrency_limit": each}, asking(64, seconds))} for each in few(LIMITS)
        ],
        "messages": [
            {"at_once": AT_ONCE, **run({"max_message_bytes": each * MIB}, sending(each * MIB, rounds=2))}
            for each in few(MESSAGES_MIB)
        ],
        "sessions": [
            {"sessions": each, "canvas": CANVAS, **run({}, painting(each, seconds))} for each in few(SESSIONS)
        ],
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=4.0, show_default=True, help="Of each row."
)
@click.option("--quick", is_flag=True, help="One row of each table: whether everything works.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=OUTPUT, show_default=True)
def main(seconds: float, *, quick: bool, output: Path) -> None:
    """Measure what a replica takes, and write it as JSON."""
    environment = fingerprint(ROOT / "model_repository")
    figures = rows(0.5 if quick else seconds, quick=quick)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m benchmarks.sizing", *sys.argv[1:]])
    content = {"environment": environment, "command": command, "figures": figures}
    output.write_text(json.dumps(content, indent=1) + "\n")
    click.echo(f"{output}: {sum(map(len, figures.values()))} rows")


if __name__ == "__main__":
    main()
