"""A pack's networks, built from its configuration: one place for their inputs, outputs and sizes."""

from __future__ import annotations

from collections.abc import Callable

from training.conditions.readers import ScribbleCompleter, SketchReader
from training.config.packs import pack_folder
from training.generators.base import Generator
from training.generators.dcgan import load_generator
from training.generators.stylegan2.generator import load_stylegan2
from training.networks.judge import Judge
from training.networks.unet import UNet
from training.sis_ug.config import STYLEGAN2, PackConfig, inversion_section, judge_section, reader_section
from training.sis_ug.inversion.inverter import Inverter
from training.sis_ug.networks.mapper import LabelMapMapper
from training.sis_ug.networks.rearranger import AttentionLevel, Rearranger

PROXY_SEGMENTER = "the proxy segmenter"
"""What tables call it."""


def _dcgan(config: PackConfig) -> Generator:
    del config
    return load_generator()


def _stylegan2(config: PackConfig) -> Generator:
    section = config.stylegan2
    assert section is not None  # the configuration's own check
    return load_stylegan2(
        pack_folder(config.pack.name) / section.weights,
        section,
        coarsest=config.rearranger.levels[0].resolution,
        finest=config.proxies.resolution,
    )


GENERATORS: dict[str, Callable[[PackConfig], Generator]] = {"dcgan": _dcgan, STYLEGAN2: _stylegan2}


def pretrained_generator(config: PackConfig) -> Generator:
    """The pack's frozen generator.

    Raises:
        ValueError: if the configuration names an unknown one, or its weights do not fit.
        FileNotFoundError: if its weights are not installed or have not been imported.
    """
    name = config.pack.generator
    if name not in GENERATORS:
        raise ValueError(f"pack.generator: {name!r} is unknown; available: {', '.join(GENERATORS)}")
    return GENERATORS[name](config)


def proxy_segmenter(config: PackConfig) -> UNet:
    """S: images `[B, 3, H, W]` in [-1, 1] -> proxy logits `[B, K, m, m]`."""
    return UNet(3, config.proxies.clusters, config.proxies.segmenter.widths, fold=config.fold)


def label_segmenter(config: PackConfig) -> UNet:
    """Images `[B, 3, H, W]` in [-1, 1] -> label logits `[B, classes, H, W]`."""
    return UNet(3, len(config.palette), config.proxies.segmenter.widths, unfold=True, fold=config.fold)


def judge(config: PackConfig) -> Judge:
    """What evaluation reads label maps with, beside the labeller.

    Raises:
        ValueError: if the pack has none.
    """
    return Judge(len(config.palette), judge_section(config).width)


def rearranger(config: PackConfig, generator: Generator) -> Rearranger:
    """The rearranger for a generator.

    Raises:
        ValueError: if the generator's features do not go with the configuration.
    """
    section = config.rearranger
    for level in section.levels:
        features = generator.channels.get(level.resolution, 0) - generator.skip_channels
        if features < 1 or features % level.heads:
            raise ValueError(
                f"rearranger.levels: {level.heads} heads at {level.resolution}x{level.resolution}, where the "
                f"generator has {max(features, 0)} channels; they must divide by the heads"
            )
    return Rearranger(
        channels=generator.channels,
        skip_channels=generator.skip_channels,
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
    return LabelMapMapper(
        len(config.palette), config.proxies.clusters, config.mapper.widths, fold=config.fold
    )


def sketch_reader(config: PackConfig) -> SketchReader:
    """What reads sketches as label maps.

    Raises:
        ValueError: if the pack's configuration has none.
    """
    return SketchReader(len(config.palette), reader_section(config, "sketch").widths, config.fold)


def scribble_completer(config: PackConfig) -> ScribbleCompleter:
    """What completes scribbles to label maps.

    Raises:
        ValueError: if the pack's configuration has none.
    """
    return ScribbleCompleter(len(config.palette), reader_section(config, "scribble").widths, config.fold)


def inverter(config: PackConfig, generator: Generator) -> Inverter:
    """The inverter: images `[B, 3, 2m, 2m]` in [-1, 1] -> features at the attended resolutions.

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
