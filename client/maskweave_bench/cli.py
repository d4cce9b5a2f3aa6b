"""The command group: what each command does is in the modules that end in `_cli`."""

from __future__ import annotations

from typing import Any

import click

from maskweave_bench.calls import ConnectError
from maskweave_bench.capacity.autoscaler_settings import SettingsError
from maskweave_bench.capacity.capacity_cli import capacity
from maskweave_bench.capacity.curve import CurveError
from maskweave_bench.capacity.plan import NotKeptError
from maskweave_bench.capacity.traffic import TrafficError
from maskweave_bench.compare import NotComparableError
from maskweave_bench.judge_cli import compare_, report, scenarios
from maskweave_bench.measure_cli import knee, run
from maskweave_bench.processes import ClientProcessError
from maskweave_bench.results import ResultsError
from maskweave_bench.scenario import ScenarioError
from maskweave_bench.schedule import TraceError
from maskweave_bench.target import TargetError
from maskweave_bench.trials import PlanError

_FAILURES = (
    ScenarioError,
    TargetError,
    TraceError,
    ResultsError,
    PlanError,
    ConnectError,
    ClientProcessError,
    NotComparableError,
    CurveError,
    TrafficError,
    SettingsError,
    NotKeptError,
)


class _Group(click.Group):
    """Says what went wrong in a line, where it is the user, a file or a service that is at fault."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _FAILURES as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def bench() -> None:
    """Measure the latency of Maskweave services, and work out the capacity they need.

    Exit codes: 0, 1 when something failed, 2 for wrong use; of a gate 3 when the candidate is worse, and 4
    when it cannot be told (with --strict) or no trial counts because the client was the limit.
    """


for _command in (run, knee, compare_, report, capacity, scenarios):
    bench.add_command(_command)
