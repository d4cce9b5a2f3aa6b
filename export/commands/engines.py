"""`maskweave export engines`."""

from __future__ import annotations

from pathlib import Path

import click

from export.plans.builder import BuildError
from export.plans.engines import build_engines
from export.plans.machine import MachineError


@click.command(name="engines")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("build/gpu-plan"),
    show_default=True,
)
def command(repository: Path) -> None:
    """Build the TensorRT plans of a gpu-plan repository for this machine's GPU.

    To be run on the machine that serves them, or on one with the same kind of GPU and the same version of
    TensorRT. Plans for other GPUs are kept, so that one repository can serve a mixed fleet.
    """
    try:
        plans = build_engines(repository, click.echo)
    except (BuildError, MachineError, FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{repository}: {len(plans)} plans; compare their images with `maskweave export verify`")
