"""The metrics of a run: means over some steps, one JSON object a line."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import TracebackType

from training.runs.updates import Metrics


class MetricsLog:
    """Gathers the metrics of steps, and writes their means as lines.

    Args:
        path: the file, JSON lines; None writes none. Lines of steps after `first` are taken out of it: those
            steps will be done again.
        first: steps done before.
    """

    def __init__(self, path: Path | None, first: int) -> None:
        self.lines: list[Metrics] = []
        self._file = None
        if path is not None:
            kept = path.read_text().splitlines(keepends=True) if first and path.exists() else []
            path.write_text("".join(line for line in kept if json.loads(line)["step"] <= first))
            self._file = path.open("a")
        self._begin()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, metrics: Metrics, step: int) -> None:
        """Note the metrics of a step, which counts from 1.

        Raises:
            ValueError: if one is no longer a finite number.
        """
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise ValueError(f"step {step}: {name} is {value}; training has diverged")
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1

    def write(self, step: int) -> Metrics:
        """End a line: means since the last, and steps per second; returns the means."""
        rate = self._steps / (time.perf_counter() - self._began)
        means = {name: round(total / self._steps, 5) for name, total in self._sums.items()}
        line: Metrics = {"step": step, "steps_per_second": round(rate, 3), **means}
        self.lines.append(line)
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        self._begin()
        return means

    def _begin(self) -> None:
        self._sums: Metrics = {}
        self._steps, self._began = 0, time.perf_counter()
