"""`maskweave export check-plans`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from export.plans.check import checked


@click.command(name="check-plans")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("build/gpu-plan"),
    show_default=True,
)
@click.option("--compute-capability", help="Of the GPU to check for, like 9.0.  [default: this machine's]")
@click.option("--tensorrt-version", help="Of the server, like 10.13.3.  [default: this machine's library]")
def command(repository: Path, compute_capability: str | None, tensorrt_version: str | None) -> None:
    """Refuse TensorRT plans that do not fit this machine or their graph: a line for each, exit code 1.

    A server's container without Python packages runs the same as `python3 -m export.plans.check REPOSITORY`.
    """
    sys.exit(checked(repository, compute_capability, tensorrt_version))
