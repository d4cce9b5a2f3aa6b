"""Verb `data` of the command `maskweave`."""

from __future__ import annotations

import os

import click
from tqdm import tqdm

from training.cli.options import (
    EXPECTED,
    chosen_device,
    device_choice,
    examples,
    pack_name,
    positive,
)
from training.config.packs import pack_method
from training.data.avatar_pairs import Pairs, missing, write_pairs
from training.data.avatar_styles import CLASSES
from training.data.labelled import load_split
from training.data.splits import make_split
from training.groupdnet.config import METHOD, SamplesSection, StylesConfig, load_styles_config
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import pretrained_generator


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
        if pack_method(pack) == METHOD:
            _draw_avatars(load_styles_config(pack), fresh, workers)
        else:
            _label_samples(load_config(pack), chosen_device(device), fresh)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


def _label_samples(config: PackConfig, device: str, fresh: bool) -> None:
    generator = pretrained_generator(config).to(device)
    for split in config.data.splits:
        folder = make_split(config, generator, split, fresh=fresh, show_progress=True)
        count = len(load_split(config, generator, split))
        left_out = len(config.data.seeds(split)) - count
        without = f", without {left_out} in which the labeller found nothing" if left_out else ""
        click.echo(f"{folder}: {count} samples{without}")


def _draw_avatars(config: StylesConfig, fresh: bool, workers: int) -> None:
    section = config.data
    if isinstance(section, SamplesSection):
        raise ValueError(
            f"pack {config.pack.name!r} trains on the samples of {section.pack!r}: "
            f"`maskweave data {section.pack}` makes them"
        )
    if section is None or section.avatars is None:
        raise ValueError(f"pack {config.pack.name!r}: its configuration has no [data.avatars] to be drawn")
    if list(config.palette.names) != list(CLASSES):
        raise ValueError(f"palette: the classes of avatars are {', '.join(CLASSES)}, in this order")
    height, width = config.network.image_size
    if height != width:
        raise ValueError(f"network: avatars are squares; the network's images are {height} x {width}")
    pairs = Pairs(section.avatars.style, section.avatars.seed, height, section.images, section.label_maps)
    count = section.avatars.count
    numbers = list(range(count)) if fresh else missing(pairs, count)
    written = tqdm(write_pairs(pairs, numbers, workers), total=len(numbers), unit="avatar", disable=None)
    for _ in written:
        pass
    click.echo(f"{section.images}: {count} avatars, {len(numbers)} of them drawn now")
