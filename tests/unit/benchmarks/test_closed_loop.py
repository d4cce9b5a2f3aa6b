from __future__ import annotations

import asyncio

import pytest

from benchmarks.closed_loop import closed_loop


class Service:
    """Answers in turn, each answer taking a second of its own clock, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.under_way = 0
        self.most_under_way = 0
        self.numbers: list[int] = []

    def clock(self) -> float:
        return self.now

    async def __call__(self, number: int) -> int:
        self.numbers.append(number)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.now += 1.0
        self.under_way -= 1
        return number


@pytest.mark.parametrize("clients", [1, 4])
async def test_every_client_has_one_request_under_way(clients: int) -> None:
    service = Service()
    result = await closed_loop(service, clients=clients, seconds=20, warmup_seconds=0, clock=service.clock)
    assert service.most_under_way == clients
    assert service.under_way == 0
    assert result.clients == clients


async def test_one_client_gets_as_many_answers_as_fit() -> None:
    service = Service()
    result = await closed_loop(service, clients=1, seconds=10, warmup_seconds=5, clock=service.clock)
    assert result.results == list(range(5, 15)), "the warm-up's five answers are not counted"
    assert result.per_second == 1.0


async def test_what_is_under_way_at_the_end_is_not_counted() -> None:
    service = Service()
    result = await closed_loop(service, clients=1, seconds=2.5, warmup_seconds=0, clock=service.clock)
    assert service.numbers == [0, 1, 2]
    assert result.results == [0, 1]


async def test_requests_are_numbered_over_all_clients() -> None:
    service = Service()
    result = await closed_loop(service, clients=3, seconds=30, warmup_seconds=0, clock=service.clock)
    assert sorted(service.numbers) == list(range(len(service.numbers)))
    assert len(set(result.results)) == len(result.results)


async def test_a_failed_request_ends_the_loop() -> None:
    async def fail(number: int) -> int:
        raise ConnectionError(f"request {number} was refused")

    with pytest.raises(ExceptionGroup) as caught:
        await closed_loop(fail, clients=2, seconds=60, warmup_seconds=0)
    assert isinstance(caught.value.exceptions[0], ConnectionError)
