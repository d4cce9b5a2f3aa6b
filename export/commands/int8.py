"""`maskweave export int8`."""

from __future__ import annotations

from pathlib import Path

import click

from export.eight_bits import CALIBRATION_SEEDS, write_int8
from export.images import LABEL_MAPS, load_samples
from export.methods import load_pack
from training.config.pack_argument import PackName


@click.command(name="int8")
@click.argument("pack", type=PackName())
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("model_repository"),
    show_default=True,
)
@click.option(
    "--label-maps",
    type=click.Path(path_type=Path, file_okay=False),
    default=LABEL_MAPS,
    help="Folder of palette PNGs to calibrate on.  [default: the client's samples]",
)
def command(pack: str, repository: Path, label_maps: Path) -> None:
    """Write an 8-bit graph beside each FP32 graph of a PACK's repository, for the embedded engine.

    `maskweave export verify --runtime RUNTIME --precision int8 --record` says afterwards whether their images
    are good enough; the gateway serves them only then.
    """
    try:
        exported = load_pack(pack)
        samples = load_samples(exported, label_maps, CALIBRATION_SEEDS)
        for line in write_int8(exported, repository, samples):
            click.echo(line)
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
