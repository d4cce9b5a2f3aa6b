"""Verb `import smis` of the command `maskweave`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from training.cli.options import EXPECTED, examples
from training.generators.importers.files import printable
from training.groupdnet.published.imported import write_pack
from training.groupdnet.published.smis import load_smis

checkpoint = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(
    epilog=examples(
        "import smis latest_net_G.pth --output packs/deepfashion", "export repository deepfashion"
    )
)
@click.argument("file", type=checkpoint)
@click.option("--encoder", type=checkpoint, help="<epoch>_net_E.pth; beside FILE by its name if left out.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the pack, such as packs/<name>: weights, and config.toml if there is none.",
)
@click.option(
    "--aspect",
    type=click.IntRange(1, 4),
    help="Columns for each row of an image; 2 for Cityscapes, else 1, if left out.",
)
def smis(file: Path, encoder: Path | None, output: Path, aspect: int | None) -> None:
    """Read a GroupDNet that the paper's own code (SMIS) trained: FILE is <epoch>_net_G.pth."""
    beside = encoder or file.with_name(file.name.replace("_net_G", "_net_E"))
    try:
        if beside == file or not beside.exists():
            raise ValueError(
                f"{file}: no encoder beside it; needed is its <epoch>_net_E.pth, given by --encoder, as a "
                "pack reads the styles of images, too"
            )
        published = load_smis(file, beside, aspect)
        source = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (file, beside)}
        weights, configured = write_pack(published, output, source)
    except EXPECTED as error:
        raise click.ClickException(printable(str(error))) from None
    section = published.config
    height, width = section.image_size
    kind = "class and edges" if section.map_planes == 2 else "class"
    click.echo(
        f"{weights}: {height} x {width} px (height x width), {section.classes} classes ({kind}), codes of "
        f"{section.style_size} numbers\n"
        + (
            f"{output / 'config.toml'}: written; name and colour its classes there"
            if configured
            else f"{output / 'config.toml'}: kept as it is"
        )
    )
