"""Verb `data` of the command `maskweave`."""

from __future__ import annotations

import os

import click

from training.cli.options import (
    EXPECTED,
    chosen_device,
    device_choice,
    examples,
    pack_name,
    positive,
)
from training.config.packs import pack_method
from training.groupdnet.config import METHOD, load_styles_config
from training.sis_ug.config import load_config
from training.whole.data import make_data


@click.command(epilog=examples("data faces64", "data avatars128_styles --workers 8"))
@click.argument("pack", type=pack_name)
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--fresh", is_flag=True, help="Make everything anew instead of going on.")
@click.option("--workers", type=positive, default=os.cpu_count(), show_default="cores", help="Of drawing.")
def data(pack: str, device: str, fresh: bool, workers: int) -> None:
    """Make what a PACK trains on and is evaluated on.

    Samples of a generator are drawn and labelled into data/PACK/; the labeller is tried on a few images
    first, which data/PACK/probe.png shows. Avatars are drawn with their label maps into the folders that the
    pack's configuration names. A run that was stopped goes on where it was.
    """
    try:
        config = load_styles_config(pack) if pack_method(pack) == METHOD else load_config(pack)
        make_data(config, chosen_device(device), workers, click.echo, fresh=fresh)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
