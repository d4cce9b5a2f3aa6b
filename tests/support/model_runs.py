"""Watches and steers the runs of ONNX models inside a real engine."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from service.engine.base import Array
from service.engine.embedded.session import Session

_PATIENCE_SECONDS = 30


class Hold:
    """Keeps a model's runs from going on until it is released."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._released = threading.Event()
        self.reached = asyncio.Event()

    def __call__(self) -> None:
        """On a worker thread: tell that a run is here, and wait."""
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._released.wait(_PATIENCE_SECONDS)

    def release(self) -> None:
        """Let the run here and all later ones go on."""
        self._released.set()


class ModelRuns:
    """Every run of an ONNX model that began, with the inputs it got.

    Attributes:
        inputs: Inputs of each run by model, in the order in which the runs began.
        wide: Of each, whether it was to use all CPUs.
        before: What to do on the worker thread before a model runs.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inputs: defaultdict[str, list[Mapping[str, Array]]] = defaultdict(list)
        self.wide: defaultdict[str, list[bool]] = defaultdict(list)
        self.before: dict[str, Callable[[], object]] = {}
        self._holds: list[Hold] = []
        run = Session.run

        def watched(
            session: Session,
            inputs: Mapping[str, Array],
            outputs: Sequence[str],
            interrupt: Any = None,
            *,
            wide: bool = True,
        ) -> dict[str, Array]:
            self.inputs[session.name].append(inputs)
            self.wide[session.name].append(wide)
            self.before.get(session.name, lambda: None)()
            return run(session, inputs, outputs, interrupt, wide=wide)

        monkeypatch.setattr(Session, "run", watched)

    def count(self, model: str) -> int:
        """How many runs of a model began."""
        return len(self.inputs[model])

    def hold(self, model: str) -> Hold:
        """Hold the runs of a model from now on."""
        hold = Hold(asyncio.get_running_loop())
        self._holds.append(hold)
        self.before[model] = hold
        return hold

    def release_all(self) -> None:
        """Let every held run go on."""
        for hold in self._holds:
            hold.release()
