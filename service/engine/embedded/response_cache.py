"""Answers repeated inputs of a model without running it: a cache bounded in bytes, with single flight."""

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


class ResponseCache:
    """Outputs of models by their inputs; the least recently used go first. Used by several threads.

    Args:
        max_bytes: Bound of all arrays together; with 0 only calls that overlap in time share a run.
    """

    def __init__(self, max_bytes: int) -> None:
        self._changed = threading.Condition()  # guards the rest
        self._entries: LRUCache[CacheKey, Mapping[str, Array]] = LRUCache(max_bytes, getsizeof=_nbytes)
        self._flights: dict[CacheKey, _Flight] = {}
        self._lookups: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept; never more than the bound."""
        return int(self._entries.currsize)

    def statistics(self) -> CacheStatistics:
        """How full it is, and how often it was asked so far."""
        with self._changed:
            return CacheStatistics(
                entries=len(self._entries),
                nbytes=self.nbytes,
                capacity_bytes=int(self._entries.maxsize),
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
                if flight.outputs is not None and _nbytes(flight.outputs) <= self._entries.maxsize:
                    self._entries[key] = flight.outputs
                self._changed.notify_all()
        return flight.outputs, False

    def clear(self) -> None:
        """Forget everything kept."""
        with self._changed:
            self._entries.clear()


def _nbytes(outputs: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in outputs.values())
