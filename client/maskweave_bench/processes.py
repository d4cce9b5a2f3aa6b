"""Client processes: each makes its share of a load on an event loop of its own; samples are put together."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.calls import Caller, ConnectError
from maskweave_bench.loops import Bounds, closed_loop, open_loop
from maskweave_bench.requests import Mix
from maskweave_bench.samples import OK, Sample, Samples, columns, merge
from maskweave_bench.schedule import Times, share
from maskweave_bench.target import Target

_REPORT_SECONDS = 0.5
_LEAD_SECONDS = 0.1
_GRACE_SECONDS = 30.0


class ClientProcessError(RuntimeError):
    """A client process failed."""


@dataclass(frozen=True, slots=True)
class Job:
    """A load on a target.

    Attributes:
        target: What is asked.
        mix: What for.
        first_seed: Of the load.
        seconds: How long requests are sent.
        times: Of an open loop, when they are due; None for a closed loop.
        numbers: Of the requests of an open loop; None for 0, 1, 2 and so on.
        clients: Of a closed loop.
        bounds: What not to go beyond.
        max_requests: Of a closed loop.
        first_number: Of the requests of a closed loop.
        step: Distance of these numbers.
    """

    target: Target
    mix: Mix
    first_seed: int
    seconds: float
    times: Times | None
    clients: int
    bounds: Bounds
    max_requests: int
    numbers: NDArray[np.int64] | None = None
    first_number: int = 0
    step: int = 1

    def split(self, parts: int) -> list[Job]:
        """The same in as many parts as there are processes; a closed loop has no more parts than clients."""
        if self.times is not None:
            shares = [share(self.times, part, parts) for part in range(parts)]
            return [self._part(times=times, numbers=numbers) for times, numbers in shares]
        parts = min(parts, self.clients)
        return [
            self._part(
                clients=self.clients // parts + (part < self.clients % parts),
                max_requests=self.max_requests // parts,
                first_number=part,
                step=parts,
            )
            for part in range(parts)
        ]

    def _part(self, **changes: Any) -> Job:
        return Job(**{**{name: getattr(self, name) for name in self.__slots__}, **changes})


@dataclass(frozen=True, slots=True)
class Progress:
    """What a client process has done since it last told.

    Attributes:
        answered: Requests answered.
        failed: Requests that failed or were skipped.
        latencies: Some of the latencies, in seconds.
    """

    answered: int
    failed: int
    latencies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """Shares of one core that a client process used: all of it, and its event loop alone."""

    cpu: float
    loop_busy: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all processes together saw of a load."""

    samples: Samples
    started: float
    use: tuple[Use, ...]


class ClientProcesses:
    """A number of client processes, started once and used for all loads."""

    def __init__(self, number: int) -> None:
        # Not forked: gRPC does not survive that.
        context = multiprocessing.get_context("spawn")
        self._links: list[Connection] = []
        self._processes = []
        for index in range(number):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there,), name=f"bench client {index}", daemon=True)
            process.start()
            there.close()
            self._links.append(here)
            self._processes.append(process)

    def __enter__(self) -> ClientProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            link.close()
        for process in self._processes:
            if error is not None:
                process.terminate()
            process.join(5.0)
            if process.is_alive():
                process.kill()
                process.join()

    def __len__(self) -> int:
        return len(self._processes)

    def run(self, job: Job, tell: Callable[[Progress], object] = lambda _: None) -> Outcome:
        """Make a load.

        Args:
            job: The load.
            tell: Is told how it goes on, several times a second.

        Raises:
            ConnectError: The target cannot be reached.
            ClientProcessError: A process failed or does not answer.
        """
        parts = job.split(len(self))
        links = self._links[: len(parts)]
        for link, part in zip(links, parts, strict=True):
            link.send(part)
        self._collect(links, _GRACE_SECONDS, tell)
        started = time.time() + _LEAD_SECONDS
        begin = time.monotonic() + _LEAD_SECONDS
        for link in links:
            link.send(begin)
        results = self._collect(links, job.seconds + job.bounds.drain_seconds + _GRACE_SECONDS, tell)
        return Outcome(merge([samples for samples, _ in results]), started, tuple(use for _, use in results))

    def _collect(
        self, links: list[Connection], seconds: float, tell: Callable[[Progress], object]
    ) -> list[tuple[Samples, Use]]:
        """One answer of each process, what they tell in between aside."""
        deadline = time.monotonic() + seconds
        answers: dict[int, Any] = {}
        waiting = {id(link): number for number, link in enumerate(links)}
        while waiting:
            ready = wait(
                [link for link in links if id(link) in waiting], max(0.0, deadline - time.monotonic())
            )
            if not ready:
                raise ClientProcessError(f"a client process did not answer within {seconds:.0f} s")
            for link in ready:
                assert isinstance(link, Connection)
                try:
                    message = link.recv()
                except EOFError:
                    raise ClientProcessError("a client process ended; its own message is above") from None
                if isinstance(message, Progress):
                    tell(message)
                elif isinstance(message, Exception):
                    raise message
                else:
                    answers[waiting.pop(id(link))] = message
        return [answers[number] for number in sorted(answers)]


def _serve(link: Connection) -> None:
    """The life of a client process: loads, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    # epoll, asyncio's usual choice, waits whole milliseconds; select waits as long as it is told to.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        while True:
            job: Job = link.recv()
            try:
                loop.run_until_complete(_make_load(job, link))
            except ConnectError as error:
                link.send(ConnectError(str(error)))
            except Exception as error:
                link.send(ClientProcessError(f"a client process failed: {type(error).__name__}: {error}"))
    except (EOFError, OSError):
        pass
    finally:
        loop.close()


async def _make_load(job: Job, link: Connection) -> None:
    loop = asyncio.get_running_loop()
    caller = Caller(job.target, job.mix, first_seed=job.first_seed, max_lag=job.bounds.max_lag)
    try:
        await caller.connect()
        link.send("ready")
        begin: float = await loop.run_in_executor(None, link.recv)
        log = _Log()
        reporter = loop.create_task(_report(log, link))
        before = time.process_time(), time.thread_time(), time.monotonic()
        try:
            if job.times is not None:
                numbers = range(job.times.size) if job.numbers is None else job.numbers.tolist()
                await open_loop(job.times, numbers, caller.send, log.take, begin=begin, bounds=job.bounds)
            else:
                await closed_loop(
                    job.clients,
                    job.seconds,
                    caller.send,
                    log.take,
                    begin=begin,
                    bounds=job.bounds,
                    max_requests=job.max_requests,
                    first_number=job.first_number,
                    step=job.step,
                )
        finally:
            reporter.cancel()
        elapsed = max(time.monotonic() - before[2], 1e-9)
        use = Use((time.process_time() - before[0]) / elapsed, (time.thread_time() - before[1]) / elapsed)
        link.send((columns(log.samples), use))
    finally:
        await caller.close()


class _Log:
    """Samples, and what of them has not been told yet."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._told = 0

    def take(self, sample: Sample) -> None:
        self.samples.append(sample)

    def news(self) -> Progress:
        fresh = self.samples[self._told :]
        self._told = len(self.samples)
        answered = [sample for sample in fresh if sample.code == OK]
        some = answered[:: max(1, len(answered) // 100)]
        latencies = tuple(sample.done - sample.due for sample in some)
        return Progress(len(answered), len(fresh) - len(answered), latencies)


async def _report(log: _Log, link: Connection) -> None:
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        link.send(log.news())
