"""Calls that the service refuses for now are tried again, within bounds; others are not."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskweave_client import AsyncClient, Client, MaskweaveError, Overloaded, Retry, Unavailable
from maskweave_client._errors import error_from_rpc
from maskweave_client._retry import Attempts
from tests.support.fake_service import Clock, FakeService, Refusal

LABEL_MAP = np.zeros((2, 2), np.uint8)
JITTER = 1.2
"""By how much at most a pause is longer than asked for."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Caller:
    """Calls through one of the two clients, with a clock of the test's."""

    def __init__(self, kind: str, address: str, clock: Clock) -> None:
        self._kind, self._address, self._clock = kind, address, clock

    def synthesize(self, timeout: float | None = None, **options: Any) -> None:
        """Ask for images."""
        if self._kind == "sync":
            with Client(self._address, **options) as client:
                client._transport.clock = self._clock
                client._transport.pause = self._clock.pause  # type: ignore[method-assign]
                client.synthesize("m", LABEL_MAP, timeout=timeout)
        else:
            asyncio.run(self._synthesize(timeout, **options))

    def stream(self) -> list[int]:
        """Ask for images one by one, and give their indices."""
        if self._kind == "sync":
            with Client(self._address) as client:
                client._transport.clock = self._clock
                client._transport.pause = self._clock.pause  # type: ignore[method-assign]
                return [each.index for each in client.synthesize_stream("m", LABEL_MAP)]
        return asyncio.run(self._stream())

    async def _synthesize(self, timeout: float | None, **options: Any) -> None:  # noqa: ASYNC109
        async with AsyncClient(self._address, **options) as client:
            self._set_clock(client)
            await client.synthesize("m", LABEL_MAP, timeout=timeout)

    async def _stream(self) -> list[int]:
        async with AsyncClient(self._address) as client:
            self._set_clock(client)
            return [each.index async for each in client.synthesize_stream("m", LABEL_MAP)]

    def _set_clock(self, client: AsyncClient) -> None:
        client._transport.clock = self._clock
        client._transport.pause = self._clock.pause_async  # type: ignore[method-assign]


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, address: str, clock: Clock) -> Caller:
    return Caller(request.param, address, clock)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(retry_info_seconds=0.25),
        Refusal(pushback_ms="250"),
        Refusal(retry_info_seconds=0.25, pushback_ms="250"),
    ],
    ids=["details", "trailer", "both"],
)
def test_the_client_comes_back_when_it_was_told_to(
    service: FakeService, caller: Caller, clock: Clock, refusal: Refusal
) -> None:
    service.refusals = [refusal, refusal]
    caller.synthesize()
    assert len(service.requests) == 3
    assert len(clock.pauses) == 2
    assert all(0.25 <= pause <= 0.25 * JITTER for pause in clock.pauses)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(),
        Refusal(pushback_ms="-1"),
        Refusal(pushback_ms="soon"),
        Refusal(retry_info_seconds=0.25, pushback_ms="-1"),
        *(
            Refusal(code, retry_info_seconds=0.0, pushback_ms="0")
            for code in grpc.StatusCode
            if code.name not in ("OK", "UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED")
        ),
    ],
    ids=lambda refusal: f"{refusal.code.name}-{refusal.retry_info_seconds}-{refusal.pushback_ms}",
)
def test_what_is_not_to_be_tried_again_is_not(
    service: FakeService, caller: Caller, clock: Clock, refusal: Refusal
) -> None:
    service.refusals = [refusal]
    with pytest.raises(MaskweaveError):
        caller.synthesize()
    assert len(service.requests) == 1
    assert not clock.pauses


@pytest.mark.parametrize(
    ("retry", "calls"), [(Retry(), 4), (Retry(attempts=2), 2), (Retry(attempts=1), 1), (None, 1)]
)
def test_attempts_are_bounded_and_can_be_switched_off(
    service: FakeService, caller: Caller, retry: Retry | None, calls: int
) -> None:
    service.refusals = [Refusal(retry_info_seconds=0.1)] * 10
    with pytest.raises(Overloaded) as caught:
        caller.synthesize(retry=retry)
    assert caught.value.retry_after_seconds == 0.1
    assert len(service.requests) == calls


def test_the_time_of_all_attempts_is_bounded(service: FakeService, caller: Caller, clock: Clock) -> None:
    service.refusals = [Refusal(retry_info_seconds=6.0)] * 10
    with pytest.raises(Overloaded):
        caller.synthesize(retry=Retry(max_seconds=10))
    assert len(service.requests) == 2
    assert len(clock.pauses) == 1


def test_nobody_waits_for_what_would_come_after_the_deadline(
    service: FakeService, caller: Caller, clock: Clock
) -> None:
    service.refusals = [Refusal(retry_info_seconds=6.0)]
    with pytest.raises(Overloaded):
        caller.synthesize(timeout=5.0)
    assert not clock.pauses


def test_all_attempts_have_one_deadline(service: FakeService, caller: Caller, clock: Clock) -> None:
    service.refusals = [Refusal(retry_info_seconds=5.0)]
    caller.synthesize(timeout=60.0)
    assert service.remaining[0] > 40.0  # however slow this machine is
    assert service.remaining[1] < 60.0 - clock.pauses[0] + 1.0  # gRPC rounds deadlines up


def test_a_stream_is_begun_again_until_it_has_given_something(service: FakeService, caller: Caller) -> None:
    service.refusals = [Refusal(retry_info_seconds=0.1)]
    assert caller.stream() == [0, 1]
    assert len(service.requests) == 2
    service.refusals = [Refusal(retry_info_seconds=0.1, after=1)]
    with pytest.raises(Overloaded):
        caller.stream()
    assert len(service.requests) == 3


def test_unreachable_is_tried_again_by_grpc_unless_switched_off(service: FakeService, caller: Caller) -> None:
    service.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE, pushback_ms="1")] * 2
    caller.synthesize()
    assert len(service.requests) == 3
    service.refusals = [Refusal(grpc.StatusCode.UNAVAILABLE)]
    with pytest.raises(Unavailable):
        caller.synthesize(retry=None)
    assert len(service.requests) == 4


def test_closing_the_client_ends_the_wait(service: FakeService, address: str) -> None:
    service.refusals = [Refusal(retry_info_seconds=300.0)]
    client = Client(address, timeout=600, retry=Retry(max_seconds=500))
    raised: list[BaseException] = []

    def call() -> None:
        try:
            client.synthesize("m", LABEL_MAP)
        except MaskweaveError as error:
            raised.append(error)

    waiting = threading.Thread(target=call)
    waiting.start()
    assert service.called.wait(60)
    client.close()
    waiting.join(60)
    assert not waiting.is_alive()
    assert len(raised) == 1  # what it was told, or that it was cancelled when the close came first


async def test_closing_the_asynchronous_client_ends_the_wait(service: FakeService, address: str) -> None:
    service.refusals = [Refusal(retry_info_seconds=300.0)]
    client = AsyncClient(address, timeout=600, retry=Retry(max_seconds=500))
    call = asyncio.create_task(client.synthesize("m", LABEL_MAP))
    assert await asyncio.to_thread(service.called.wait, 60)
    await client.close()
    (ended,) = await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 60)
    assert isinstance(ended, MaskweaveError | asyncio.CancelledError)


@given(
    asked=st.lists(st.floats(0, 1e6), max_size=8),
    retry=st.none() | st.builds(Retry, st.integers(1, 5), st.floats(0, 1e6)),
    timeout=st.floats(0, 1e6),
    jitter=st.floats(0, 1, exclude_max=True),
    passing=st.lists(st.floats(0, 100), min_size=8, max_size=8),
)
def test_whatever_the_service_asks_for_the_bounds_hold(
    asked: list[float], retry: Retry | None, timeout: float, jitter: float, passing: list[float]
) -> None:
    clock = Clock()
    began = clock.now
    attempts = Attempts(retry, timeout, clock, lambda: jitter)
    pauses = 0
    for seconds, passed in zip(asked, passing, strict=False):
        clock.now += passed
        failure = error_from_rpc(grpc.StatusCode.RESOURCE_EXHAUSTED, "", ())
        failure.retry_after_seconds = seconds
        pause = attempts.pause_after(failure)
        if pause is None:
            break
        assert seconds <= pause <= seconds * JITTER
        clock.pause(pause)
        pauses += 1
        assert retry is not None
        assert clock.now - began <= retry.max_seconds + 1e-6
        assert clock.now - began < timeout + 1e-6
        assert attempts.remaining() >= 0
    assert pauses <= (0 if retry is None else retry.attempts - 1)


@pytest.mark.parametrize("attempts", [0, 6, -1, 1.5, True])
def test_other_attempts_are_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match=f"attempts: got {attempts}; allowed: integers from 1 to 5"):
        Retry(attempts=attempts)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_other_times_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="max_seconds: got"):
        Retry(max_seconds=seconds)
