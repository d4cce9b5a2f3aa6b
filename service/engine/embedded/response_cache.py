"""Keeps outputs of models for inputs that come again: a cache bounded in bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from service.engine.base import Array

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


class ResponseCache:
    """Least recently used outputs go first when there are more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[CacheKey, Mapping[str, Array]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept; never more than the bound."""
        return self._bytes

    def get(self, key: CacheKey) -> Mapping[str, Array] | None:
        """The outputs kept for `key`, which become the most recently used."""
        outputs = self._entries.get(key)
        if outputs is not None:
            self._entries.move_to_end(key)
        return outputs

    def put(self, key: CacheKey, outputs: Mapping[str, Array]) -> None:
        """Keep `outputs`, unless they alone are more than the bound."""
        size = _nbytes(outputs)
        if size > self._max_bytes:
            return
        replaced = self._entries.pop(key, None)
        self._bytes += size - (_nbytes(replaced) if replaced is not None else 0)
        self._entries[key] = outputs
        while self._bytes > self._max_bytes:
            _, evicted = self._entries.popitem(last=False)
            self._bytes -= _nbytes(evicted)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0


def _nbytes(outputs: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in outputs.values())
