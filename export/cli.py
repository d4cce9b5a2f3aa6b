"""Verb `export` of the command `maskweave`."""

from __future__ import annotations

from pathlib import Path

import click

from export.parity import TOLERANCE, parity_errors
from export.repository import VERSION, write_repository
from export.stages import example_inputs
from training.config import available_packs, load_config, pack_folder
from training.pipeline import load_pipeline

PARITY_BATCHES = (1, 5)


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

    Every graph is compared with PyTorch before the command ends; an error above 1e-4 of a tensor's range
    fails it.
    """
    try:
        config = load_config(pack)
        pipeline = load_pipeline(config, pack_folder(pack))
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    for stage in write_repository(config, pipeline, repository, click.echo):
        path = repository / stage.name / VERSION / "model.onnx"
        for batch in PARITY_BATCHES:
            for difference in parity_errors(stage, path, example_inputs(stage, batch, config)):
                found = (
                    f"{stage.name}, batch {batch}: {difference.tensor} is off by "
                    f"{difference.relative:.1e} of its range"
                )
                click.echo(found)
                if difference.relative > TOLERANCE:
                    raise click.ClickException(f"{found}, allowed are {TOLERANCE}")
