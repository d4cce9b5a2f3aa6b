"""PyTorch's exporter reads all of its translations of operators anew for each graph, which takes a second."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry


@contextmanager
def torchlib_read_once() -> Iterator[None]:
    """The exporter reads them once in this context. It only reads what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        once = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", once)
        yield
