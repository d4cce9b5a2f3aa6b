"""`maskweave export untrained`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import torch

from export.groupdnet import groupdnet_pack
from export.repository import write_repository
from training.groupdnet.codes.expectation import RelativeGroupDNet
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.config import StylesConfig
from training.groupdnet.network_config import BlockSection, EncoderSection, NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.published.imported import config_text
from training.groupdnet.trained import TrainedStyles

SIZES = ((64, 8), (64, 30), (64, 80), (64, 150), (128, 8), (256, 8))
_WIDTHS = (256, 256, 96, 64)
"""Of the blocks of faces64_styles; further blocks are as wide as the last."""
_START_SIDE, _FOLD = 4, 2


def network_of(pixels: int, classes: int) -> NetworkSection:
    """The network of faces64_styles at another size: a block for each doubling, a channel or more a class.

    Args:
        pixels: Of an image's side: 64 times a power of two.
        classes: C, each with a style of its own.
    """
    count = (pixels // (_START_SIDE * _FOLD)).bit_length()
    widths = [_whole(_WIDTHS[min(number, len(_WIDTHS) - 1)], classes) for number in range(count)]
    groups = [1] * count
    groups[0] = classes
    for number in range(1, count - 1):
        half = groups[number - 1] // 2
        groups[number] = next((each for each in range(half, 0, -1) if classes % each == 0), 1)
    return NetworkSection(
        classes=classes,
        style_classes=tuple(range(classes)),
        class_order=tuple(range(classes)),
        code=32,
        code_side=1,
        start=_whole(_WIDTHS[0], classes),
        blocks=tuple(
            BlockSection(width=width, groups=each, hidden=_whole(32, each))
            for width, each in zip(widths, groups, strict=True)
        ),
        fold=_FOLD,
        map_resize="area",
        spectral=False,
        expectation="none",
        encoder=EncoderSection(side=32, planes=4, widths=(12, 24, 36), norm="group", spectral=False),
    )


def _whole(width: int, groups: int) -> int:
    return -(-width // groups) * groups


@click.command(name="untrained")
@click.argument("repository", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size",
    "sizes",
    type=(click.Choice(["64", "128", "256", "512"]), click.IntRange(2, 254)),
    multiple=True,
    metavar="PIXELS CLASSES",
    help=f"Repeatable.  [default: {', '.join(f'{pixels} {classes}' for pixels, classes in SIZES)}]",
)
def command(repository: Path, sizes: tuple[tuple[str, int], ...]) -> None:
    """Write packs with networks that nobody trained, to measure what sizes cost.

    They have the architecture of faces64_styles, at other resolutions and numbers of classes; their images
    are noise. For `python -m benchmarks.measure --part models`.
    """
    for pixels, classes in [(int(side), number) for side, number in sizes] or SIZES:
        section = network_of(pixels, classes)
        text = config_text(section, f"untrained_{pixels}px_{classes}classes")
        torch.manual_seed(0)
        network = RelativeGroupDNet(GroupDNet(section), None).eval()
        prior = StylePrior(section.styles, section.style_size)
        trained = TrainedStyles(StylesConfig.model_validate(tomllib.loads(text)), network, prior)
        written = write_repository(groupdnet_pack(trained), repository, lambda _: None)
        click.echo(f"{repository}: {', '.join(written)}")
