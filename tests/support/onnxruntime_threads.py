"""ONNX Runtime on one thread: by default it takes all processors, and its threads spin while they wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnxruntime as ort
import pytest


class _OneThread(ort.InferenceSession):  # type: ignore[misc]  # it ships no types
    def __init__(
        self, model: str | bytes, sess_options: ort.SessionOptions | None = None, *rest: Any, **more: Any
    ) -> None:
        if sess_options is None:
            sess_options = ort.SessionOptions()
            sess_options.intra_op_num_threads = 1
        super().__init__(model, sess_options, *rest, **more)


@contextmanager
def one_thread_for_each_session() -> Iterator[None]:
    """Sessions that are made without options inside this context run on the thread that asks them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ort, "InferenceSession", _OneThread)
        yield
