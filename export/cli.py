"""Verb `export` of the command `maskweave`."""

from __future__ import annotations

from pathlib import Path

import click

from export.repository import write_repository
from training.config import available_packs, load_config, pack_folder
from training.pipeline import load_pipeline


@click.command()
@click.argument("pack", type=click.Choice(available_packs()))
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("model_repository"),
    show_default=True,
)
def export(pack: str, repository: Path) -> None:
    """Compile a trained PACK to ONNX and write it into the model repository.

    Every graph is first compared with PyTorch; an error above 1e-4 of a tensor's range fails the command and
    leaves the repository as it was.
    """
    try:
        config = load_config(pack)
        written = write_repository(config, load_pipeline(config, pack_folder(pack)), repository, click.echo)
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{repository}: {len(written)} stages of {pack} and their ensemble")
