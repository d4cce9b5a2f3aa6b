import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import EngineFailure
from service.engine.base import Array
from service.engine.cancellation import CancelToken, Stopped
from service.engine.embedded.response_cache import CacheKey, ResponseCache, cache_key


def _key(number: int) -> CacheKey:
    return "head", 1, bytes([number])


def _outputs(nbytes: int) -> dict[str, Array]:
    return {"A": np.zeros(nbytes // 2, np.uint8), "B": np.zeros(nbytes - nbytes // 2, np.uint8)}


def _ask(cache: ResponseCache, number: int, nbytes: int = 10) -> bool:
    """Ask for an entry; whether it was there."""
    _, kept = cache.get_or_compute(_key(number), lambda: _outputs(nbytes), CancelToken())
    return kept


def test_the_least_recently_used_goes_first() -> None:
    cache = ResponseCache(30)
    asked = [(0, False), (1, False), (2, False), (0, True), (3, False), (0, True), (2, True), (3, True)]
    assert [_ask(cache, number) for number, _ in asked] == [kept for _, kept in asked]
    assert not _ask(cache, 1)


def test_as_many_go_as_the_new_one_needs() -> None:
    cache = ResponseCache(30)
    for number in range(3):
        _ask(cache, number)
    _ask(cache, 9, 15)
    assert (len(cache), cache.nbytes) == (2, 25)


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = ResponseCache(10)
    _ask(cache, 0, 10)
    assert not _ask(cache, 1, 11)
    assert not _ask(cache, 1, 11)
    assert _ask(cache, 0, 10)


def test_no_bytes_no_cache() -> None:
    cache = ResponseCache(0)
    assert not _ask(cache, 0, 1)
    assert len(cache) == 0


def test_clear_forgets_everything() -> None:
    cache = ResponseCache(10)
    _ask(cache, 0)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_what_was_asked_for_again_outlives_what_comes_once() -> None:
    """A seed that is painted with is still there after any number of conditions that come once."""
    cache = ResponseCache(40)
    for number in (0, 0, *range(1, 50)):
        _ask(cache, number)
    assert _ask(cache, 0)


def test_what_was_asked_for_again_long_ago_makes_room() -> None:
    """Or nothing new could be kept once the cache is full of what came twice."""
    cache = ResponseCache(40)
    for number in range(6):
        _ask(cache, number)
        assert _ask(cache, number)
    assert [_ask(cache, number) for number in (5, 4, 3, 2, 1, 0)] == [True] * 4 + [False] * 2


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 24))))
def test_the_bytes_are_those_of_the_entries_and_never_beyond_the_bound(asked: list[tuple[int, int]]) -> None:
    cache = ResponseCache(20)
    sizes: dict[int, int] = {}
    once: list[int] = []  # the least recently used first
    again: list[int] = []

    def total(numbers: list[int]) -> int:
        return sum(sizes[number] for number in numbers)

    for number, nbytes in asked:
        kept = number in once or number in again
        size = sizes.setdefault(number, nbytes)
        assert _ask(cache, number, size) == kept
        if kept:
            (once if number in once else again).remove(number)
            (again if size <= 15 else once).append(number)
            while total(again) > 15:
                once.append(again.pop(0))
        elif size <= 20:
            while total(once) + total(again) + size > 20:
                (once or again).pop(0)
            once.append(number)
        assert (len(cache), cache.nbytes) == (len(once) + len(again), total(once) + total(again))


class Call:
    """A call on a thread of its own, that computes when it is told to."""

    def __init__(self, cache: ResponseCache, *, error: BaseException | None = None) -> None:
        self.token = CancelToken()
        self.computes, self.go = threading.Event(), threading.Event()
        self.outcome: object = None
        self._cache = cache
        self._error = error
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            outputs, kept = self._cache.get_or_compute(_key(0), self._compute, self.token)
            self.outcome = (int(outputs["A"][0]), kept)
        except BaseException as error:
            self.outcome = error

    def _compute(self) -> dict[str, Array]:
        self.computes.set()
        assert self.go.wait(30)
        if self._error is not None:
            raise self._error
        return {"A": np.array([7], np.uint8)}

    def ended(self) -> object:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


def _leader(cache: ResponseCache, **options: BaseException) -> Call:
    leader = Call(cache, error=options.get("error"))
    assert leader.computes.wait(30)
    return leader


def _follower(cache: ResponseCache) -> Call:
    follower = Call(cache)
    end = time.monotonic() + 30
    while not follower.token.waiting:
        assert time.monotonic() < end
        time.sleep(0.001)
    return follower


def test_calls_that_overlap_compute_once_even_when_nothing_is_kept() -> None:
    cache = ResponseCache(0)
    leader = _leader(cache)
    followers = [_follower(cache) for _ in range(3)]
    leader.go.set()
    assert leader.ended() == (7, False)
    assert [follower.ended() for follower in followers] == [(7, True)] * 3
    assert not any(follower.computes.is_set() for follower in followers)
    assert not _ask(cache, 0)


def test_calls_for_other_inputs_do_not_wait() -> None:
    cache = ResponseCache(100)
    leader = _leader(cache)
    assert not _ask(cache, 1)
    leader.go.set()
    assert leader.ended() == (7, False)


def test_a_failure_reaches_everybody_who_waited_and_is_not_kept() -> None:
    cache = ResponseCache(100)
    leader = _leader(cache, error=EngineFailure("no"))
    followers = [_follower(cache) for _ in range(2)]
    leader.go.set()
    for call in (leader, *followers):
        outcome = call.ended()
        assert isinstance(outcome, EngineFailure)
        assert str(outcome) == "no"
    assert not any(follower.computes.is_set() for follower in followers)
    assert not _ask(cache, 0)


def test_when_the_call_that_computes_is_given_up_one_of_those_that_wait_computes() -> None:
    cache = ResponseCache(100)
    leader = _leader(cache, error=Stopped())
    followers = [_follower(cache) for _ in range(3)]
    leader.go.set()
    assert isinstance(leader.ended(), Stopped)
    for follower in followers:
        follower.go.set()
    assert sorted(str(follower.ended()) for follower in followers) == ["(7, False)", "(7, True)", "(7, True)"]


def test_a_call_that_is_cancelled_while_it_waits_leaves_at_once() -> None:
    cache = ResponseCache(100)
    leader = _leader(cache)
    leaving, staying = _follower(cache), _follower(cache)
    leaving.token.cancel()
    assert isinstance(leaving.ended(), Stopped)
    leader.go.set()
    assert leader.ended() == (7, False)
    assert staying.ended() == (7, True)


def test_a_call_waits_no_longer_than_its_deadline() -> None:
    cache = ResponseCache(100)
    leader = _leader(cache)
    with pytest.raises(Stopped):
        cache.get_or_compute(_key(0), lambda: _outputs(1), CancelToken(time.monotonic() + 0.01))
    leader.go.set()
    assert leader.ended() == (7, False)


BASE: dict[str, Array] = {"A": np.arange(4, dtype=np.float32), "B": np.zeros(2, np.uint8)}


def test_equal_calls_have_equal_keys_whatever_the_order_or_layout() -> None:
    spread = np.zeros(8, np.float32)
    spread[::2] = BASE["A"]
    assert cache_key("m", 1, {"B": BASE["B"].copy(), "A": spread[::2]}) == cache_key("m", 1, BASE)


@pytest.mark.parametrize(
    ("model", "version", "inputs"),
    [
        ("n", 1, BASE),
        ("m", 2, BASE),
        ("m", 1, BASE | {"A": BASE["A"] + 1}),
        ("m", 1, BASE | {"A": BASE["A"].reshape(2, 2)}),
        ("m", 1, BASE | {"A": BASE["A"].view(np.int32)}),
        ("m", 1, {"C": BASE["A"], "B": BASE["B"]}),
    ],
    ids=["model", "version", "value", "shape", "dtype", "name"],
)
def test_calls_that_differ_have_different_keys(model: str, version: int, inputs: dict[str, Array]) -> None:
    assert cache_key(model, version, inputs) != cache_key("m", 1, BASE)
