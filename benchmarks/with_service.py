"""Runs a command while a gateway is up: `python -m benchmarks.with_service -- COMMAND [ARGUMENT]...`.

The command finds the gateway's address in `MASKWEAVE_ADDRESS`; its exit code becomes this one's.
"""

from __future__ import annotations

import os
import subprocess
import sys

import click

from benchmarks.local_service import ServiceFailedError, local_service


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(command: tuple[str, ...]) -> None:
    """Start a gateway on free ports, run COMMAND with MASKWEAVE_ADDRESS set, and stop the gateway."""
    try:
        with local_service() as service:
            click.echo(f"gateway ready on {service.address} after {service.seconds_to_ready:.1f} s")
            environment = {**os.environ, "MASKWEAVE_ADDRESS": service.address}
            code = subprocess.run(command, env=environment, check=False).returncode
        click.echo("gateway stopped")
    except ServiceFailedError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


if __name__ == "__main__":
    main()
