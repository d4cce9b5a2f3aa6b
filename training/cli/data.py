"""Verb `data` of the command `maskweave`."""

from __future__ import annotations

import click

from training.cli.options import EXPECTED, chosen_device, device_choice, examples, pack_name
from training.data.labelled import load_split
from training.data.splits import make_split
from training.sis_ug.config import load_config
from training.sis_ug.networks.build import pretrained_generator


@click.command(epilog=examples("data faces64", "data mine --device cuda"))
@click.argument("pack", type=pack_name)
@click.option("--device", type=device_choice, default="auto", show_default=True)
@click.option("--fresh", is_flag=True, help="Label all samples anew instead of going on.")
def data(pack: str, device: str, fresh: bool) -> None:
    """Draw and label the samples a PACK trains on and is evaluated on (data/PACK/).

    Samples are kept part by part: a run that was stopped goes on where it was. The labeller is tried on a few
    images first, which data/PACK/probe.png shows.
    """
    try:
        config = load_config(pack)
        generator = pretrained_generator(config).to(chosen_device(device))
        for split in config.data.splits:
            folder = make_split(config, generator, split, fresh=fresh, show_progress=True)
            count = len(load_split(config, generator, split))
            left_out = len(config.data.seeds(split)) - count
            without = f", without {left_out} in which the labeller found nothing" if left_out else ""
            click.echo(f"{folder}: {count} samples{without}")
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
