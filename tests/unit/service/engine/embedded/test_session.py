"""A model that fails says so as a failure of the engine, whichever of its graphs runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.core.errors import EngineFailure
from service.engine.embedded.session import Session


class Opened:
    """A graph that works on so many threads and fails on one."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def run(self, inputs: object, outputs: list[str], interrupt: object) -> list[Any]:
        if self.threads == 1:
            raise RuntimeError("no memory")
        return [np.zeros((1, 2), np.float32) for _ in outputs]


def test_a_failure_of_the_warm_up_on_one_thread_is_the_engine_s() -> None:
    def opened(file: Path, config: object, threads: Sequence[int]) -> list[Opened]:
        return [Opened(count) for count in threads]

    runtime: Any = SimpleNamespace(precision="fp32", open=opened)
    config: Any = SimpleNamespace(
        name="tiny",
        outputs=(SimpleNamespace(name="OUT", shape=(2,)),),
        max_batch_size=1,
        session=SimpleNamespace(intra_op_threads=None),
    )
    session = Session(Path("tiny/1/model.onnx"), config, 2, runtime)
    inputs = {"IN": np.zeros((1, 2), np.float32)}
    assert session.run(inputs, ["OUT"])["OUT"].shape == (1, 2)
    with pytest.raises(EngineFailure, match="tiny version 1 failed: no memory"):
        session.warm_up(inputs)
