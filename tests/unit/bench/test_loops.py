"""The loops on a clock of the tests: known delays and stalls must come out as they went in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave_bench.loops import UNANSWERED, Bounds, Clock, closed_loop, open_loop
from maskweave_bench.samples import OK, SKIPPED_LATE, SKIPPED_OUTSTANDING, Sample, Samples, columns
from maskweave_bench.schedule import constant, poisson
from maskweave_bench.stalls import find_stalls
from tests.support.virtual_loop import VirtualLoop, run_virtually

BOUNDS = Bounds(max_lag=0.1, max_outstanding=10_000, drain_seconds=60)
STALL = (4.0, 6.0)
"""The service answers nothing in this time."""


def service(delay: Callable[[int], float], stall: tuple[float, float] | None = None) -> Any:
    """A service with a known delay of each request, that does not answer during its stall."""

    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        sent = clock()
        end = sent + delay(number)
        if stall is not None and stall[0] <= end < stall[1]:
            end = stall[1]
        await asyncio.sleep(end - clock())
        return [Sample(number, 0, due, sent, clock(), OK)]

    return send


def opened(due: NDArray[np.float64], send: Any, bounds: Bounds = BOUNDS) -> Samples:
    found: list[Sample] = []
    run_virtually(open_loop(due, range(due.size), send, found.append, begin=0.0, bounds=bounds))
    return columns(found)


def closed(clients: int, seconds: float, send: Any, max_requests: int = 100_000) -> Samples:
    found: list[Sample] = []
    loop = closed_loop(
        clients, seconds, send, found.append, begin=0.0, bounds=BOUNDS, max_requests=max_requests
    )
    run_virtually(loop)
    return columns(found)


def test_open_loop_recovers_the_delays_that_were_put_in() -> None:
    delays = np.random.default_rng(1).lognormal(math.log(0.02), 0.8, 5000)
    samples = opened(
        poisson(100, 50, np.random.default_rng(2))[:5000], service(lambda number: delays[number])
    )
    expected = np.sort(delays[: len(samples)])
    np.testing.assert_allclose(np.sort(samples.latency), expected, atol=1e-6)
    assert samples.lag.max() < 1e-9


def test_open_loop_shows_a_stall_to_everybody_who_came_in_it() -> None:
    due = constant(100, 10)
    samples = opened(due, service(lambda _: 0.02, STALL))
    # Who came while nothing was answered waited until its end: a fifth of all, from 2 s down to nothing.
    expected = np.where((due + 0.02 >= STALL[0]) & (due + 0.02 < STALL[1]), STALL[1] - due, 0.02)
    np.testing.assert_allclose(samples.latency, expected, atol=1e-6)
    assert np.percentile(samples.latency, 99) > 1.8
    assert np.percentile(samples.latency, 85) > 0.4
    (stall,) = find_stalls(samples)
    assert (stall.begin, stall.end) == pytest.approx(STALL, abs=0.03)
    assert stall.waiting == pytest.approx(200, abs=2)


def test_the_same_stall_hides_in_a_closed_loop() -> None:
    samples = closed(1, 10, service(lambda _: 0.02, STALL))
    assert np.percentile(samples.latency, 99) == pytest.approx(0.02, abs=1e-6)
    assert (samples.latency > 0.03).sum() == 1  # of 400 requests one was slow, and 100 were never sent
    assert samples.latency.max() == pytest.approx(2.0, abs=0.03)
    assert len(find_stalls(samples)) == 1


def test_latency_counts_from_when_a_request_was_due_although_the_client_was_late() -> None:
    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        sent = clock()
        if number == 10:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.pass_time(0.08)  # the client is busy with something
        await asyncio.sleep(0.005)
        return [Sample(number, 0, due, sent, clock(), OK)]

    samples = opened(constant(100, 1), send)
    assert len(samples) == 100
    assert samples.ok.all()
    # Due at 0.11 s, sent at 0.18 s, answered at 0.185 s.
    assert samples.lag[11] == pytest.approx(0.07, abs=1e-6)
    assert samples.latency[11] == pytest.approx(0.075, abs=1e-6)
    assert samples.service_time[11] == pytest.approx(0.005, abs=1e-6)
    assert samples.lag[30:].max() < 1e-9


def test_what_cannot_be_sent_in_time_is_skipped_and_counted_and_not_bunched() -> None:
    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        sent = clock()
        if number == 10:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.pass_time(1.0)
        return [Sample(number, 0, due, sent, clock(), OK)]

    samples = opened(constant(100, 3), send)
    assert len(samples) == 300  # all are accounted for
    skipped = samples.is_code(SKIPPED_LATE)
    assert skipped.sum() == pytest.approx(90, abs=1)
    assert (samples.lag[~skipped] <= 0.1 + 1e-9).all()
    sent = np.sort(samples.sent[~skipped])
    assert (
        np.histogram(sent, bins=30, range=(0, 3))[0] <= 21
    ).all()  # the bound's worth beside its own, not 100


def test_what_is_due_beyond_the_most_outstanding_is_counted() -> None:
    samples = opened(constant(100, 1), service(lambda _: 10.0), Bounds(0.1, 30, 60))
    assert samples.counts() == {SKIPPED_OUTSTANDING: 70, OK: 30}


def test_what_is_never_answered_is_counted_and_ends() -> None:
    cancelled = []

    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        raise AssertionError

    samples = opened(constant(10, 1), send, Bounds(0.1, 100, 5.0))
    assert samples.counts() == {UNANSWERED: 10}
    assert sorted(cancelled) == list(range(10))
    assert samples.latency.min() >= 5.0


def test_closed_loop_keeps_its_clients_busy_and_its_bounds() -> None:
    samples = closed(4, 1.0, service(lambda _: 0.01))
    assert len(samples) == pytest.approx(400, abs=8)
    assert sorted(samples.number.tolist()) == list(range(len(samples)))
    assert samples.due.max() < 1.0
    assert len(closed(4, 1.0, service(lambda _: 0.01), max_requests=10)) == 10


def test_closed_loop_counts_what_is_never_answered() -> None:
    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        await asyncio.sleep(1e6)
        raise AssertionError

    assert closed(3, 1.0, send).counts() == {UNANSWERED: 3}


@pytest.mark.parametrize("loop", ["open", "closed"])
def test_a_defect_of_the_client_is_no_sample(loop: str) -> None:
    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    run: dict[str, Callable[[], Samples]] = {
        "open": lambda: opened(constant(10, 1), send),
        "closed": lambda: closed(2, 1.0, send),
    }
    with pytest.raises(ZeroDivisionError):
        run[loop]()


def test_several_samples_of_one_request_are_taken() -> None:
    async def send(number: int, due: float, clock: Clock) -> Sequence[Sample]:
        return [Sample(number, 0, due + extra, clock(), clock(), OK) for extra in (0.0, 0.1)]

    answer: Awaitable[Any] = send(0, 0.0, lambda: 0.0)
    assert len(run_virtually(answer)) == 2  # type: ignore[arg-type]
    assert len(opened(constant(10, 1), send)) == 20
