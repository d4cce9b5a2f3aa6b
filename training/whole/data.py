"""What a pack trains on and is evaluated on: whether it is there, and making it."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from training.data.avatar_pairs import Pairs, missing, write_pairs
from training.data.avatar_styles import CLASSES
from training.data.folders import find_pairs
from training.data.labelled import load_split, split_path
from training.data.splits import make_split
from training.groupdnet.config import SamplesSection, StylesConfig
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import pretrained_generator

AnyConfig = PackConfig | StylesConfig
Tell = Callable[[str], None]


def make_data(config: AnyConfig, device: str, workers: int, tell: Tell, *, fresh: bool = False) -> None:
    """Draw and label a pack's samples, or draw its avatars; what is there is kept.

    Args:
        config: the pack's.
        device: that samples are drawn on.
        workers: processes that draw avatars.
        tell: is told what is there, when it is.
        fresh: make everything anew.

    Raises:
        LabellerError: as `make_split`.
        ValueError: if the pack has nothing that can be made.
    """
    if isinstance(config, PackConfig):
        _label_samples(config, device, fresh, tell)
    else:
        _draw_avatars(config, fresh, workers, tell)


def missing_data(config: AnyConfig) -> str | None:
    """What of a pack's data is not there, in words; None where all is.

    Raises:
        FileNotFoundError: if folders of a user's own are not there or hold nothing.
        ValueError: if files in them have no partners, or the pack that the data is of is unknown.
    """
    if isinstance(config, PackConfig):
        generator = pretrained_generator(config)
        # Without a labeller only what was labelled after a handful by hand can be there.
        splits = config.data.splits if config.data.labeller else ("train",)
        for split in splits:
            try:
                load_split(config, generator, split)
            except (FileNotFoundError, ValueError):
                return f"{split_path(config, split)}, {len(config.data.seeds(split))} labelled samples"
        return None
    section = config.data
    assert section is not None  # the training's own check
    if isinstance(section, SamplesSection):
        return missing_data(load_config(section.pack))
    if section.avatars is None:
        find_pairs(section, "train")
        return None
    left = len(missing(_avatar_pairs(config), section.avatars.count))
    return f"{section.images}, {left} of {section.avatars.count} avatars" if left else None


def maker_of_data(config: AnyConfig) -> AnyConfig:
    """The configuration of the pack whose data it is: its own, or the one whose samples it trains on."""
    if isinstance(config, StylesConfig) and isinstance(config.data, SamplesSection):
        return load_config(config.data.pack)
    return config


def _label_samples(config: PackConfig, device: str, fresh: bool, tell: Tell) -> None:
    generator = pretrained_generator(config).to(device)
    for split in config.data.splits:
        folder = make_split(config, generator, split, fresh=fresh, show_progress=True)
        count = len(load_split(config, generator, split))
        left_out = len(config.data.seeds(split)) - count
        without = f", without {left_out} in which the labeller found nothing" if left_out else ""
        tell(f"{folder}: {count} samples{without}")


def _draw_avatars(config: StylesConfig, fresh: bool, workers: int, tell: Tell) -> None:
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
    pairs, count = _avatar_pairs(config), section.avatars.count
    numbers = list(range(count)) if fresh else missing(pairs, count)
    written = tqdm(write_pairs(pairs, numbers, workers), total=len(numbers), unit="avatar", disable=None)
    for _ in written:
        pass
    tell(f"{section.images}: {count} avatars, {len(numbers)} of them drawn now")


def _avatar_pairs(config: StylesConfig) -> Pairs:
    section = config.data
    assert section is not None
    assert not isinstance(section, SamplesSection)
    assert section.avatars is not None
    avatars, (height, _) = section.avatars, config.network.image_size
    return Pairs(avatars.style, avatars.seed, height, section.images, section.label_maps)
