"""`maskweave export flops`."""

from __future__ import annotations

from pathlib import Path

import click

from export.flops import as_table, ensemble_flops


@click.command(name="flops")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("model_repository"),
    show_default=True,
)
def command(repository: Path) -> None:
    """Count what an image computes: of every ensemble and its stages, new and repainted with a known seed."""
    try:
        click.echo(as_table(ensemble_flops(repository)))
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
