"""A pack's networks, built from its configuration: one place for their inputs, outputs and sizes."""

from __future__ import annotations

from training.config import PackConfig, inversion_section, reader_section
from training.generators.base import Generator
from training.generators.dcgan import load_generator
from training.inverter import Inverter
from training.mapper import LabelMapMapper
from training.readers import ScribbleCompleter, SketchReader
from training.rearranger import AttentionLevel, Rearranger
from training.unet import UNet

GENERATORS = {"dcgan": load_generator}


def pretrained_generator(config: PackConfig) -> Generator:
    """The pack's frozen generator.

    Raises:
        ValueError: if the configuration names an unknown one, or its weights are not those pinned.
        FileNotFoundError: if its weights are not installed.
    """
    name = config.pack.generator
    if name not in GENERATORS:
        raise ValueError(f"pack.generator: {name!r} is unknown; available: {', '.join(GENERATORS)}")
    return GENERATORS[name]()


def proxy_segmenter(config: PackConfig) -> UNet:
    """S: pictures `[B, 3, 2m, 2m]` in [-1, 1] -> proxy logits `[B, K, m, m]`."""
    return UNet(3, config.proxies.clusters, config.proxies.segmenter.widths)


def label_segmenter(config: PackConfig) -> UNet:
    """Pictures `[B, 3, H, W]` in [-1, 1] -> label logits `[B, classes, H, W]`."""
    return UNet(3, len(config.palette), config.proxies.segmenter.widths, unfold=True)


def rearranger(config: PackConfig, generator: Generator) -> Rearranger:
    """The rearranger for a generator."""
    section = config.rearranger
    return Rearranger(
        channels=generator.channels,
        clusters=config.proxies.clusters,
        levels=tuple(
            AttentionLevel(level.resolution, level.heads, level.head_dim) for level in section.levels
        ),
        cut=section.cut,
        mask_resolution=config.proxies.resolution,
        width=section.width,
        hidden=section.hidden,
    )


def label_map_mapper(config: PackConfig) -> LabelMapMapper:
    """The semantic mapper for label maps."""
    return LabelMapMapper(len(config.palette), config.proxies.clusters, config.mapper.widths)


def sketch_reader(config: PackConfig) -> SketchReader:
    """What reads sketches as label maps.

    Raises:
        ValueError: if the pack's configuration has none.
    """
    return SketchReader(len(config.palette), reader_section(config, "sketch").widths)


def scribble_completer(config: PackConfig) -> ScribbleCompleter:
    """What completes scribbles to label maps.

    Raises:
        ValueError: if the pack's configuration has none.
    """
    return ScribbleCompleter(len(config.palette), reader_section(config, "scribble").widths)


def inverter(config: PackConfig, generator: Generator) -> Inverter:
    """The inverter: pictures `[B, 3, 2m, 2m]` in [-1, 1] -> features at the attended resolutions.

    Raises:
        ValueError: if the pack has none.
    """
    section = inversion_section(config)
    attended = (level.resolution for level in config.rearranger.levels)
    return Inverter(
        {r: generator.channels[r] for r in attended},
        config.proxies.resolution,
        section.widths,
        section.depth,
    )
