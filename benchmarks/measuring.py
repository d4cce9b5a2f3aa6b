"""How the figures of a gateway are measured: `maskweave-bench` against a gateway started for the purpose."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import yaml

from benchmarks.local_service import LocalService, local_service
from maskweave_bench.results import Results, read_results

_GOING_FIRST = ("chrt", "--rr", "1")


@cache
def going_first() -> tuple[str, ...]:
    """What to put before a command to have its processes run first; empty where the system denies it."""
    try:
        tried = subprocess.run([*_GOING_FIRST, "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return () if tried.returncode else _GOING_FIRST


@dataclass(frozen=True)
class Measuring:
    """How things are measured.

    Attributes:
        repository: The model repository that is served.
        model: The model that is asked.
        seconds: Of each trial.
        repeats: Of each trial.
        quick: As little as shows that everything works.
        p99_ms: The target of the knee.
        untrained: A repository of packs of several sizes.
    """

    repository: Path
    model: str
    seconds: float
    repeats: int
    quick: bool
    p99_ms: float
    untrained: Path

    def service(self, repository: Path | None = None) -> Any:
        """A gateway of its own, for a block; of another repository, if one is given."""
        served = str(repository or self.repository)
        return local_service({"MODEL_REPOSITORY": served, "LOG_LEVEL": "warning"})

    def bench(
        self,
        service: LocalService,
        verb: str,
        asked: Mapping[str, Any],
        *arguments: object,
        repeats: int | None = None,
        first: bool = False,
    ) -> Results:
        """Run `maskweave-bench`.

        Args:
            service: Whom to ask.
            verb: Its command.
            asked: The scenario.
            arguments: Further arguments.
            repeats: Of each trial, if others than usual.
            first: Whether the client's processes are to go before those of the service on the cores that they
                share, where the system lets them: requests that have to be sent at their times are, then.

        Raises:
            click.ClickException: It failed; or no trial counts, because the client was the limit.
        """
        with tempfile.TemporaryDirectory() as folder:
            file, output = Path(folder, "scenario.yaml"), Path(folder, "results.json")
            file.write_text(yaml.safe_dump(dict(asked)))
            command = [*(going_first() if first else ()), sys.executable, "-m", "maskweave_bench", verb]
            command += [
                "--target",
                f"gateway={service.address}",
                "--metrics",
                f"gateway={service.metrics_url}",
            ]
            command += ["--scenario", str(file), "--output", str(output)]
            command += ["--seconds", str(self.seconds), "--warmup", str(min(1.0, self.seconds / 4))]
            command += ["--repeats", str(repeats or self.repeats), *map(str, arguments)]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode and not output.exists():
                raise click.ClickException(f"failed: {' '.join(command)}")
            return read_results(output)

    def few(self, values: Sequence[Any]) -> Sequence[Any]:
        """All of them; the first two, where it is to be quick."""
        return values[:2] if self.quick else values
