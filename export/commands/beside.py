"""`maskweave export beside`."""

from __future__ import annotations

from pathlib import Path

import click

from export.beside import put_beside


@click.command(name="beside")
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("model_repository"),
    show_default=True,
    help="Folder that gets them.",
)
def command(source: Path, repository: Path) -> None:
    """Copy the models of the repository SOURCE beside those of another, so that both versions are served.

    Their names get their version (`faces64_label_map_v1_1_0`); callers go on saying `faces64`, and name a
    version where they need one. What is in the folder already stays as it is.
    """
    try:
        names = put_beside(source, repository)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{repository}: {', '.join(names.values())}")
