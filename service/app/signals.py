"""SIGTERM and SIGINT from the first moment of the process on.

As the first process of a container (PID 1), a process without handlers of its own does not die of these
signals: the kernel drops them. So they are handled before anything heavy is imported, and this module imports
next to nothing. A signal that comes before the event loop runs is remembered until `received` asks for it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that stop a gateway. SIGTERM, which Python leaves alone, is handled when all are."""

_early: list[signal.Signals] = []


def remember() -> None:
    """Remember the first signal from now on, in place of dying of it. A second one ends the process."""
    for each in STOPPING:
        signal.signal(each, _remember)


def received() -> signal.Signals | None:
    """The signal that has been remembered."""
    return _early[0] if _early else None


def end_at_next() -> None:
    """Let the next signal end the process at once, also as PID 1."""
    for each in STOPPING:
        signal.signal(each, _end)


def _remember(number: int, _: FrameType | None) -> None:
    _early.append(signal.Signals(number))
    end_at_next()


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # PID 1 does not die of it
