"""A pack's training stages: each takes the results of those before it and writes weights to the pack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from training.clustering import ProxyClusters, fit_clusters
from training.config import PackConfig, shared_out
from training.data.labelled import load_split
from training.data.samples import chunk_size
from training.discriminator import SegmenterDiscriminator
from training.generators.base import FeaturePyramid, Generator
from training.loops.cycle import CycleTrainer, Judges
from training.loops.inversion import InversionTrainer
from training.loops.label_segmenter import LabelSegmenterTrainer
from training.loops.mapper import MapperTrainer
from training.loops.proxy_segmenter import ProxySegmenterTrainer
from training.loops.rearranger import RearrangerTrainer
from training.loops.scribble import ScribbleTrainer
from training.loops.sketch import SketchTrainer
from training.networks import (
    inverter,
    label_map_mapper,
    label_segmenter,
    pretrained_generator,
    proxy_segmenter,
    rearranger,
    scribble_completer,
    sketch_reader,
)
from training.pack import Network, averaged_weights, load_weights, save_weights
from training.pipeline import INVERTER
from training.runs import RunOptions, Trainer, place, train
from training.team import Team
from training.unet import UNet, frozen

FIT_BATCH = 256


def train_proxies(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Fit the clusters and train the proxy segmenter; writes `clusters` and `proxy_segmenter`."""
    config = shared_out(config, "proxies", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    clusters = _fit(config, generator, options.seed).to(device)
    _store(clusters, folder, "clusters", options.team)
    torch.manual_seed(options.seed)
    _run(ProxySegmenterTrainer(config, generator, clusters, device), options)
    _finish(proxy_segmenter(config), "proxy_segmenter", folder, options)


def train_rearranger(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the rearranger; writes `rearranger`, and the `discriminator` that mappers' cycles ask."""
    config = shared_out(config, "rearranger", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    segmenter = _fast(load_weights(proxy_segmenter(config), folder, "proxy_segmenter"), device)
    torch.manual_seed(options.seed)
    trainer = RearrangerTrainer(config, generator, segmenter, device)
    _run(trainer, options)
    _finish(rearranger(config, generator), "rearranger", folder, options)
    _store(trainer.discriminator, folder, "discriminator", options.team)


def train_mapper(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the mapper for label maps, then tune it and the rearranger together.

    Writes `label_segmenter`, `mapper_label_map` and `rearranger_tuned`.
    """
    config = shared_out(config, "mapper", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    start = load_weights(proxy_segmenter(config), folder, "proxy_segmenter")
    segmenter = _fast(start, device)
    samples = load_split(config, generator, "train")

    torch.manual_seed(options.seed)
    _run(LabelSegmenterTrainer(config, generator, start, samples, device), options)
    judge = _finish(label_segmenter(config), "label_segmenter", folder, options)

    torch.manual_seed(options.seed)
    _run(MapperTrainer(config, generator, segmenter, samples, device), options)
    mapper = averaged_weights(label_map_mapper(config), options.folder / "mapper" / "checkpoint.pt")

    networks = (
        mapper,
        load_weights(rearranger(config, generator), folder, "rearranger"),
        load_weights(SegmenterDiscriminator(segmenter), folder, "discriminator"),
    )
    cycle = CycleTrainer(
        config, generator, Judges(segmenter, _fast(judge, device)), networks, samples, device
    )
    _run(cycle, options)
    _finish(label_map_mapper(config), "cycle", folder, options, "mapper_label_map", "mapper_average")
    _finish(rearranger(config, generator), "cycle", folder, options, "rearranger_tuned", "rearranger_average")


def train_inversion(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the inverter against the rearranger that is served; writes `inverter`."""
    config = shared_out(config, "inversion", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    start = load_weights(proxy_segmenter(config), folder, "proxy_segmenter")
    arranger = place(load_weights(rearranger(config, generator), folder, "rearranger_tuned"), device)
    torch.manual_seed(options.seed)
    _run(InversionTrainer(config, generator, start, arranger, device), options)
    _finish(inverter(config, generator), INVERTER, folder, options)


def train_sketch(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train what reads sketches; writes `sketch_reader`."""
    config = shared_out(config, "sketch", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    samples = load_split(config, generator, "train")
    torch.manual_seed(options.seed)
    _run(SketchTrainer(config, generator, samples, device), options)
    _finish(sketch_reader(config), "sketch_reader", folder, options)


def train_scribble(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train what completes scribbles; writes `scribble_completer`."""
    config = shared_out(config, "scribble", options.shards)
    samples = load_split(config, pretrained_generator(config), "train")
    torch.manual_seed(options.seed)
    _run(ScribbleTrainer(config, samples, torch.device(options.device)), options)
    _finish(scribble_completer(config), "scribble_completer", folder, options)


STAGES: dict[str, Callable[[PackConfig, Path, RunOptions], None]] = {
    "proxies": train_proxies,
    "rearranger": train_rearranger,
    "mapper": train_mapper,
    "sketch": train_sketch,
    "scribble": train_scribble,
    "inversion": train_inversion,
}


def _generator(config: PackConfig, device: torch.device) -> Generator:
    return pretrained_generator(config).to(device)


def _fast(network: UNet, device: torch.device) -> UNet:
    return place(frozen(network), device)


@torch.no_grad()
def _fit(config: PackConfig, generator: Generator, seed: int) -> ProxyClusters:
    section = config.proxies
    top = max(generator.channels)
    batch = chunk_size(generator.image_size, FIT_BATCH)
    firsts = range(0, section.samples, batch)

    def pyramid(first: int) -> FeaturePyramid:
        random = torch.Generator().manual_seed(seed + first // batch)
        count = min(batch, section.samples - first)
        latents = torch.randn(count, generator.latent_dim, generator=random) * config.latent.scale
        return generator.without_skip(generator.head(latents.to(generator.device), top))

    return fit_clusters(
        map(pyramid, firsts),
        count=section.clusters,
        components=section.components,
        cells=section.cells // len(firsts),
        resolution=section.resolution,
        seed=seed,
    )


def _run(trainer: Trainer, options: RunOptions) -> None:
    train(trainer, dataclasses.replace(options, folder=options.folder / trainer.name))


def _finish(
    network: Network,
    run: str,
    folder: Path,
    options: RunOptions,
    name: str | None = None,
    part: str = "average",
) -> Network:
    """Put a finished run's averaged weights into the pack's folder; returns the network as stored."""
    averaged = averaged_weights(network, options.folder / run / "checkpoint.pt", part)
    _store(averaged, folder, name or run, options.team)
    return load_weights(network, folder, name or run)


def _store(network: nn.Module, folder: Path, name: str, team: Team) -> None:
    """Save weights once, so that afterwards every rank can read them."""
    if team.leads:
        save_weights(network, folder, name)
    team.wait()
