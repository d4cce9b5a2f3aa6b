"""Rates and requests in progress: nobody gets more than they are granted, or less."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.keys import KeyEntry, Keys, Scope, make_key
from service.access.quota import Quotas, TokenBucket
from service.core.errors import QuotaExceeded
from service.rpc.status import describe, rich_status


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entry(name: str = "a", **limits: Any) -> KeyEntry:
    return make_key(name, [Scope.SYNTHESIZE], **limits)[1]


rates = st.floats(min_value=0.01, max_value=1000)


@given(rates, st.integers(1, 50), st.lists(st.floats(min_value=0, max_value=10), max_size=100))
def test_a_bucket_never_grants_more_than_its_size_and_what_flowed_in(
    rate: float, size: int, pauses: list[float]
) -> None:
    now = 0.0
    bucket = TokenBucket(now, rate, size)
    granted = 0
    for pause in pauses:
        now += pause
        granted += bucket.take(now) == 0
    assert granted <= size + rate * now + 1e-6


@given(rates, st.integers(1, 50), st.lists(st.floats(min_value=0, max_value=10), max_size=30))
def test_whoever_waits_as_long_as_told_is_granted(rate: float, size: int, pauses: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(now, rate, size)
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        if wait:
            assert wait <= 1 / rate + 0.002
            now += wait * (1 + 1e-9) + 1e-9
            assert bucket.take(now) == 0


@given(rates, st.integers(1, 50))
def test_a_full_bucket_grants_its_size_at_once(rate: float, size: int) -> None:
    bucket = TokenBucket(0.0, rate, size)
    assert [bucket.take(0.0) for _ in range(size)] == [0.0] * size
    assert bucket.take(0.0) > 0


def test_a_clock_that_goes_back_grants_nothing() -> None:
    bucket = TokenBucket(10.0, 1, 1)
    assert bucket.take(10.0) == 0
    assert bucket.take(5.0) > 0
    assert bucket.take(10.5) > 0
    assert bucket.take(11.0) == 0


def test_too_fast_is_told_when_to_come_back_and_then_let_in() -> None:
    clock = Clock()
    quotas, key = Quotas(clock), entry(requests_per_second=2, burst=1)
    with quotas.use(key):
        pass
    with pytest.raises(QuotaExceeded) as caught, quotas.use(key):
        pass
    assert (caught.value.quota, caught.value.limit) == ("requests_per_second", 2)
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    clock.now += 0.5
    with quotas.use(key):
        pass


def test_too_many_at_once_costs_no_token() -> None:
    quotas, key = Quotas(Clock()), entry(requests_per_second=1, burst=2, max_concurrent=1)
    with quotas.use(key):
        for _ in range(5):
            with pytest.raises(QuotaExceeded, match="max_concurrent 1"), quotas.use(key):
                pass
    with quotas.use(key):
        pass


def test_a_request_that_fails_is_in_progress_no_more() -> None:
    quotas, key = Quotas(), entry(max_concurrent=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), quotas.use(key):
            raise RuntimeError
    with quotas.use(key):
        pass


def test_one_keys_use_is_no_others() -> None:
    quotas = Quotas()
    with quotas.use(entry("a", max_concurrent=1)), quotas.use(entry("b", max_concurrent=1)):
        pass


def test_reading_the_keys_anew_neither_refills_nor_forgets() -> None:
    clock = Clock()
    quotas, key = Quotas(clock), entry(requests_per_second=1, burst=1, max_concurrent=1)
    with quotas.use(key):
        quotas.keep_only(Keys([key]))
        with pytest.raises(QuotaExceeded, match="max_concurrent"), quotas.use(key):
            pass
    quotas.keep_only(Keys([key]))
    with pytest.raises(QuotaExceeded, match="requests_per_second"), quotas.use(key):
        pass


def test_a_removed_keys_request_in_progress_ends_in_order() -> None:
    quotas, key = Quotas(), entry(max_concurrent=1)
    with ExitStack() as stack:
        stack.enter_context(quotas.use(key))
        quotas.keep_only(Keys([]))
        with pytest.raises(QuotaExceeded), quotas.use(key):
            pass
    with quotas.use(key):
        pass


def test_limits_of_a_new_file_hold_at_once() -> None:
    clock = Clock()
    quotas = Quotas(clock)
    with quotas.use(entry(requests_per_second=1, burst=5)):
        pass
    slow = entry(requests_per_second=0.5, burst=1)
    with quotas.use(slow):
        pass
    with pytest.raises(QuotaExceeded) as caught, quotas.use(slow):
        pass
    assert caught.value.retry_after_seconds == pytest.approx(2)
    with quotas.use(entry()):  # no limit any more
        pass


def test_every_frame_of_a_session_takes_from_the_rate_by_the_limits_of_the_moment() -> None:
    clock = Clock()
    quotas, key = Quotas(clock), entry(requests_per_second=2, burst=3, max_concurrent=1)
    with quotas.use(key):
        quotas.charge(key)
        quotas.charge(key)
        for _ in range(3):
            with pytest.raises(QuotaExceeded) as caught:
                quotas.charge(key)
            assert caught.value.retry_after_seconds == pytest.approx(0.5)
        clock.now += 0.5
        quotas.charge(key)
        slower = key.model_copy(update={"requests_per_second": 0.5})
        clock.now += 0.25
        with pytest.raises(QuotaExceeded) as caught:
            quotas.charge(slower)
        assert caught.value.retry_after_seconds == pytest.approx(1)
        quotas.charge(key.model_copy(update={"requests_per_second": None}))


@pytest.mark.parametrize("rate", [1e-310, 1e-12])
def test_whoever_has_used_up_a_rate_of_hardly_anything_comes_back_tomorrow(rate: float) -> None:
    """A longer time fits into no reply, which failed the call instead of refusing it."""
    quotas, key = Quotas(Clock()), entry(requests_per_second=rate)
    with quotas.use(key):
        pass
    with pytest.raises(QuotaExceeded) as caught, quotas.use(key):
        pass
    assert caught.value.retry_after_seconds == 86_400
    status = rich_status(describe(caught.value), caught.value, "id")
    assert b"RetryInfo" in status.SerializeToString()
