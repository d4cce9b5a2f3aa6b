"""Arrivals by chance, and requests that do not wait for one another."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks.open_loop import open_loop, poisson_arrivals


@pytest.mark.parametrize("rate", [2.0, 50.0])
def test_arrivals_ascend_and_are_as_many_as_the_rate_says(rate: float) -> None:
    seconds = 2000 / rate
    times = list(poisson_arrivals(rate, seconds, np.random.RandomState(1)))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < seconds
    assert len(times) == pytest.approx(2000, rel=0.1)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # what tells them from an even beat


def test_the_same_seed_gives_the_same_arrivals() -> None:
    first, second = (list(poisson_arrivals(5, 10, np.random.RandomState(7))) for _ in range(2))
    assert first == second


async def test_requests_do_not_wait_for_one_another() -> None:
    gate, running = asyncio.Event(), 0

    async def request(number: int) -> int:
        nonlocal running
        running += 1
        if running == 3:
            gate.set()  # only when all are under way at once
        await gate.wait()
        return number

    answers = await asyncio.wait_for(open_loop(request, iter([0.0, 0.01, 0.02])), 10)
    assert [answer.result for answer in answers] == [0, 1, 2]
    assert all(answer.since_due >= answer.since_sent for answer in answers)
