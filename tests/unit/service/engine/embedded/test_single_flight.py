import asyncio

import pytest

from service.engine.embedded.single_flight import SingleFlight


class Work:
    """An execution that waits to be released, and counts how often it began and was cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.began = 0
        self.cancelled = 0
        self.release = asyncio.Event()
        self._error = error

    async def run(self) -> int:
        self.began += 1
        number = self.began
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error:
            raise self._error
        return number


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _ask(flights: SingleFlight[int], work: Work, key: str = "k") -> asyncio.Task[tuple[int, bool]]:
    return asyncio.create_task(flights.run(key, work.run))


async def test_overlapping_calls_share_one_execution() -> None:
    flights, work = SingleFlight[int](), Work()
    tasks = [_ask(flights, work) for _ in range(3)]
    await _settle()
    work.release.set()
    assert [await task for task in tasks] == [(1, False), (1, True), (1, True)]


async def test_calls_one_after_the_other_and_calls_for_other_keys_do_not() -> None:
    flights, work = SingleFlight[int](), Work()
    work.release.set()
    assert await _ask(flights, work) == (1, False)
    assert await _ask(flights, work) == (2, False)
    tasks = [_ask(flights, work, "a"), _ask(flights, work, "b")]
    assert [await task for task in tasks] == [(3, False), (4, False)]


async def test_a_failure_reaches_every_caller_and_is_not_kept() -> None:
    flights, work = SingleFlight[int](), Work(ValueError("no"))
    tasks = [_ask(flights, work) for _ in range(2)]
    await _settle()
    work.release.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no", "no"]
    with pytest.raises(ValueError, match="no"):
        await _ask(flights, work)
    assert work.began == 2


async def test_a_caller_that_leaves_does_not_disturb_the_others() -> None:
    flights, work = SingleFlight[int](), Work()
    first, second = _ask(flights, work), _ask(flights, work)
    await _settle()
    first.cancel()
    await _settle()
    assert work.cancelled == 0
    work.release.set()
    assert await second == (1, True)


async def test_the_last_caller_to_leave_cancels_the_execution_and_nobody_joins_it_any_more() -> None:
    flights, work = SingleFlight[int](), Work()
    tasks = [_ask(flights, work) for _ in range(2)]
    await _settle()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    late = _ask(flights, work)
    await _settle()
    assert (work.began, work.cancelled) == (2, 1)
    work.release.set()
    assert await late == (2, False)
