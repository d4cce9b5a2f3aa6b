"""Verb `import` of the command `maskweave`."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli.import_smis import smis
from training.cli.options import EXPECTED, examples
from training.generators.importers.files import printable
from training.generators.importers.stylegan2 import READ, import_stylegan2
from training.generators.stylegan2.generator import save_stylegan2

WEIGHTS = "stylegan2.safetensors"


@click.group(name="import")
def import_() -> None:
    """Read somebody else's pretrained generator. Nothing that a file brings along is ever run."""


@import_.command(
    epilog=examples("import stylegan2 network-snapshot-025000.pkl --output packs/mine"),
    help=f"Read a StyleGAN2 checkpoint FILE, from 32 to 1024 px; formats: {READ}.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write stylegan2.safetensors and stylegan2.json into, such as that of a pack.",
)
def stylegan2(file: Path, output: Path) -> None:
    """Safetensors and sizes of a checkpoint, and what a pack's configuration says of them."""
    try:
        imported = import_stylegan2(file)
        weights = output / WEIGHTS
        save_stylegan2(imported.architecture, imported.state, weights, imported.source)
    except EXPECTED as error:
        raise click.ClickException(printable(str(error))) from None
    sizes = imported.architecture
    count = sum(tensor.numel() for tensor in imported.state.values())
    click.echo(
        f"{weights}: {sizes.resolution} px, latents of {sizes.latent_size}, {count / 1e6:.1f} M numbers, "
        f"from {imported.source['format']}\n"
        "In the pack's config.toml:\n\n"
        f'[stylegan2]\nresolution = {sizes.resolution}\ntruncation = 0.7\nnoise = "const"'
    )
    for remark in imported.remarks:
        click.echo(f"\nNote: {remark}.")


import_.add_command(smis)
