"""Answers repeated inputs of a model without running it: a cache bounded in bytes, with single flight.

One cache serves all models whose config asks for it: what is made of a seed alone and what is made of a
condition alone are both the answers of a stage to its inputs. Most conditions come once, and seeds that are
painted with come again and again. So what was asked for once goes before what was asked for again, whenever
that was: segmented LRU (Karedla et al., "Caching Strategies to Improve Disk System Performance", 1994).
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from cachetools import LRUCache

from service.core.errors import EngineFailure
from service.engine.base import Array, CacheStatistics
from service.engine.cancellation import CancelToken, Stopped

CacheKey = tuple[str, int, bytes]
"""Model, version, and digest of the inputs."""

_DIGEST_BYTES = 32
_SHARE_OF_REPEATED = 0.75
"""Of the bytes, at most, for what was asked for again: the rest is left for what may be asked for again."""


def cache_key(model: str, version: int, inputs: Mapping[str, Array]) -> CacheKey:
    """The key of a call: equal exactly when model, version and every input are.

    The inputs enter as a 256-bit digest of names, dtypes, shapes and bytes.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(inputs):
        array = inputs[name]
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return model, version, digest.digest()


class _Flight:
    """A computation in progress, for whoever asks for the same meanwhile."""

    __slots__ = ("ended", "error", "outputs")

    def __init__(self) -> None:
        self.ended = False
        self.outputs: Mapping[str, Array] | None = None
        self.error: Exception | None = None

    def has_ended(self) -> bool:
        """Whether the outputs or the failure are there, or the call that computes was given up."""
        return self.ended


class _Kept:
    """Outputs that are kept. Those asked for once go first, then the others, each the least recent first.

    Args:
        max_bytes: Bound of all arrays together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._once: LRUCache[CacheKey, Mapping[str, Array]] = LRUCache(max_bytes, getsizeof=_nbytes)
        self._again: LRUCache[CacheKey, Mapping[str, Array]] = LRUCache(
            int(max_bytes * _SHARE_OF_REPEATED), getsizeof=_nbytes
        )

    def __len__(self) -> int:
        return len(self._once) + len(self._again)

    @property
    def nbytes(self) -> int:
        return int(self._once.currsize + self._again.currsize)

    @property
    def max_bytes(self) -> int:
        return int(self._once.maxsize)

    def get(self, key: CacheKey) -> Mapping[str, Array] | None:
        outputs = self._again.get(key)
        if outputs is not None:
            return outputs
        outputs = self._once.get(key)
        size = 0 if outputs is None else _nbytes(outputs)
        if outputs is None or size > self._again.maxsize:
            return outputs
        del self._once[key]
        while self._again.currsize + size > self._again.maxsize:
            oldest, value = self._again.popitem()
            self._once[oldest] = value  # the last of them to go
        self._again[key] = outputs
        return outputs

    def put(self, key: CacheKey, outputs: Mapping[str, Array]) -> None:
        size = _nbytes(outputs)
        if size > self.max_bytes:
            return
        while self.nbytes + size > self.max_bytes:
            (self._once or self._again).popitem()
        self._once[key] = outputs

    def clear(self) -> None:
        self._once.clear()
        self._again.clear()


class ResponseCache:
    """Outputs of models by their inputs; see the module's text. Used by several threads.

    Args:
        max_bytes: Bound of all arrays together; with 0 only calls that overlap in time share a run.
    """

    def __init__(self, max_bytes: int) -> None:
        self._changed = threading.Condition()  # guards the rest
        self._entries = _Kept(max_bytes)
        self._flights: dict[CacheKey, _Flight] = {}
        self._lookups: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept; never more than the bound."""
        return self._entries.nbytes

    def statistics(self) -> CacheStatistics:
        """How full it is, and how often it was asked so far."""
        with self._changed:
            return CacheStatistics(
                entries=len(self._entries),
                nbytes=self.nbytes,
                capacity_bytes=self._entries.max_bytes,
                lookups=dict(self._lookups),
                hits={model: self._hits[model] for model in self._lookups},
            )

    def get_or_compute(
        self, key: CacheKey, compute: Callable[[], Mapping[str, Array]], token: CancelToken
    ) -> tuple[Mapping[str, Array], bool]:
        """The outputs for `key`: kept ones, those of an identical call in progress, or newly computed ones.

        Args:
            key: From `cache_key`.
            compute: Called on this thread, by one call per key at a time.
            token: Of this call, which may have to wait for another. If nobody waits for that other call
                any more, this one computes.

        Returns:
            The outputs, and whether they came without computing.

        Raises:
            Stopped: Nobody waits for this call any more.
            EngineFailure: The identical call in progress failed.
            Exception: Whatever `compute` raised. Nothing of it is kept.
        """
        model = key[0]
        with self._changed:
            self._lookups[model] += 1
            while (flight := self._flights.get(key)) is not None:
                token.wait_for(self._changed, flight.has_ended)
                if flight.outputs is not None:
                    self._hits[model] += 1
                    return flight.outputs, True
                if flight.error is not None:
                    raise EngineFailure(str(flight.error)) from flight.error
                # Nobody waited for that call any more: try again, and compute if nobody else does by now.
            kept = self._entries.get(key)
            if kept is not None:
                self._hits[model] += 1
                return kept, True
            flight = self._flights[key] = _Flight()
        try:
            flight.outputs = compute()
        except Stopped:
            raise
        except Exception as error:
            flight.error = error
            raise
        finally:
            with self._changed:
                flight.ended = True
                del self._flights[key]
                if flight.outputs is not None:
                    self._entries.put(key, flight.outputs)
                self._changed.notify_all()
        return flight.outputs, False

    def clear(self) -> None:
        """Forget everything kept."""
        with self._changed:
            self._entries.clear()


def _nbytes(outputs: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in outputs.values())
