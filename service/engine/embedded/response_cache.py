"""Answers repeated inputs of a model without running it: a cache bounded in bytes, with single flight.

One cache serves all models whose config asks for it: what is made of a seed alone and what is made of a
condition alone are both the answers of a stage to its inputs. Most conditions come once, and seeds that are
painted with come again and again. So what was asked for once goes before what was asked for again, whenever
that was: segmented LRU (Karedla et al., "Caching Strategies to Improve Disk System Performance", 1994).
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

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

    __slots__ = ("awaited", "ended", "error", "outputs")

    def __init__(self) -> None:
        self.awaited = False
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
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._most_again = int(max_bytes * _SHARE_OF_REPEATED)
        self._bytes_again = 0
        # With their sizes, the least recent first.
        self._once: OrderedDict[CacheKey, tuple[Mapping[str, Array], int]] = OrderedDict()
        self._again: OrderedDict[CacheKey, tuple[Mapping[str, Array], int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._once) + len(self._again)

    def get(self, key: CacheKey) -> Mapping[str, Array] | None:
        kept = self._again.get(key)
        if kept is not None:
            self._again.move_to_end(key)
            return kept[0]
        kept = self._once.get(key)
        if kept is None:
            return None
        outputs, size = kept
        if size > self._most_again:
            self._once.move_to_end(key)
            return outputs
        del self._once[key]
        while self._bytes_again + size > self._most_again:
            oldest, value = self._again.popitem(last=False)
            self._bytes_again -= value[1]
            self._once[oldest] = value  # the last of them to go
        self._again[key] = kept
        self._bytes_again += size
        return outputs

    def put(self, key: CacheKey, outputs: Mapping[str, Array]) -> None:
        size = 0
        for array in outputs.values():
            size += array.nbytes
        if size > self.max_bytes:
            return
        while self.nbytes + size > self.max_bytes:
            if self._once:
                _, (_, gone) = self._once.popitem(last=False)
            else:
                _, (_, gone) = self._again.popitem(last=False)
                self._bytes_again -= gone
            self.nbytes -= gone
        self._once[key] = outputs, size
        self.nbytes += size

    def clear(self) -> None:
        self._once.clear()
        self._again.clear()
        self.nbytes = self._bytes_again = 0


class ResponseCache:
    """Outputs of models by their inputs; see the module's text. Used by several threads.

    Args:
        max_bytes: Bound of all arrays together; with 0 only calls that overlap in time share a run.
    """

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()  # guards the rest; entered at a tenth of what a condition takes
        self._changed = threading.Condition(self._lock)
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
        with self._lock:
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
        with self._lock:
            self._lookups[model] += 1
            while (flight := self._flights.get(key)) is not None:
                flight.awaited = True
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
            with self._lock:
                flight.ended = True
                del self._flights[key]
                if flight.outputs is not None:
                    self._entries.put(key, flight.outputs)
                if flight.awaited:
                    self._changed.notify_all()
        return flight.outputs, False

    def clear(self) -> None:
        """Forget everything kept."""
        with self._lock:
            self._entries.clear()
