"""A model that fails says so as a failure of the engine, whichever of its sessions runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.core.errors import EngineFailure
from service.engine.embedded import session as module
from service.engine.embedded.session import Session


class Opened:
    """A session of ONNX Runtime that works on so many threads and fails on one."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def run(self, outputs: list[str], *_: object) -> list[Any]:
        if self.threads == 1:
            raise RuntimeError("no memory")
        return [np.zeros((1, 2), np.float32) for _ in outputs]


def test_a_failure_of_the_warm_up_on_one_thread_is_the_engine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_open", lambda file, config, threads: Opened(threads))
    config: Any = SimpleNamespace(
        name="tiny",
        outputs=(SimpleNamespace(name="OUT", shape=(2,)),),
        max_batch_size=1,
        session=SimpleNamespace(intra_op_threads=None),
    )
    session = Session(Path("tiny/1/model.onnx"), config, 2)
    inputs = {"IN": np.zeros((1, 2), np.float32)}
    assert session.run(inputs, ["OUT"])["OUT"].shape == (1, 2)
    with pytest.raises(EngineFailure, match="tiny version 1 failed: no memory"):
        session.warm_up(inputs)
