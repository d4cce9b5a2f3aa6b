import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.base import Array
from service.engine.embedded.response_cache import CacheKey, ResponseCache, cache_key


def _key(number: int) -> CacheKey:
    return "head", 1, bytes([number])


def _outputs(nbytes: int) -> dict[str, Array]:
    return {"A": np.zeros(nbytes // 2, np.uint8), "B": np.zeros(nbytes - nbytes // 2, np.uint8)}


def test_the_least_recently_used_goes_first() -> None:
    cache = ResponseCache(30)
    for number in range(3):
        cache.put(_key(number), _outputs(10))
    cache.get(_key(0))
    cache.put(_key(3), _outputs(10))
    assert [cache.get(_key(number)) is not None for number in range(4)] == [True, False, True, True]


def test_as_many_go_as_the_new_one_needs() -> None:
    cache = ResponseCache(30)
    for number in range(3):
        cache.put(_key(number), _outputs(10))
    cache.put(_key(9), _outputs(15))
    assert (len(cache), cache.nbytes) == (2, 25)


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = ResponseCache(10)
    cache.put(_key(0), _outputs(10))
    cache.put(_key(1), _outputs(11))
    assert cache.get(_key(0)) is not None
    assert cache.get(_key(1)) is None


def test_no_bytes_no_cache() -> None:
    cache = ResponseCache(0)
    cache.put(_key(0), _outputs(1))
    assert len(cache) == 0


def test_clear_forgets_everything() -> None:
    cache = ResponseCache(10)
    cache.put(_key(0), _outputs(10))
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.booleans())))
def test_the_bytes_are_those_of_the_entries_and_never_beyond_the_bound(
    actions: list[tuple[int, int, bool]],
) -> None:
    cache = ResponseCache(20)
    for number, nbytes, is_put in actions:
        if is_put:
            cache.put(_key(number), _outputs(nbytes))
        else:
            cache.get(_key(number))
        kept = [outputs for number in range(6) if (outputs := cache.get(_key(number))) is not None]
        assert cache.nbytes == sum(array.nbytes for outputs in kept for array in outputs.values())
        assert cache.nbytes <= 20
        assert len(cache) == len(kept)


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
