"""A pack's training stages: each takes the results of those before it and writes weights to the pack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from tqdm import tqdm

from training.config.batches import split_batches
from training.config.weights import Network, averaged_weights, load_weights, save_weights, weights_path
from training.data.labelled import load_split
from training.data.samples import chunk_size
from training.generators.base import FeaturePyramid, Generator
from training.networks.unet import UNet, frozen
from training.runs.distributed import DistributedContext
from training.runs.loop import Trainer, train
from training.runs.optimization import place
from training.runs.options import RunOptions
from training.sis_ug.clustering import ProxyClusters, fit_clusters
from training.sis_ug.config import PackConfig, judge_section
from training.sis_ug.loops.cycle import CycleTrainer, Judges
from training.sis_ug.loops.inversion import InversionTrainer
from training.sis_ug.loops.judge import JudgeTrainer
from training.sis_ug.loops.label_segmenter import LabelSegmenterTrainer
from training.sis_ug.loops.mapper import MapperTrainer
from training.sis_ug.loops.proxy_segmenter import ProxySegmenterTrainer
from training.sis_ug.loops.rearranger import RearrangerTrainer
from training.sis_ug.loops.scribble import ScribbleTrainer
from training.sis_ug.loops.sketch import SketchTrainer
from training.sis_ug.networks.build import (
    inverter,
    judge,
    label_map_mapper,
    label_segmenter,
    pretrained_generator,
    proxy_segmenter,
    rearranger,
    scribble_completer,
    sketch_reader,
)
from training.sis_ug.networks.discriminator import SegmenterDiscriminator
from training.sis_ug.pipeline import (
    INVERTER,
    JUDGE,
    STUDENTS,
    TEACHERS,
    TUNED_REARRANGER,
    UNTUNED_REARRANGER,
    served_rearranger,
)
from training.sis_ug.students.stage import train_students

FIT_BATCH = 256

Cycle = Literal["labels", "proxies", "none"]


def train_proxies(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Fit the clusters and train the proxy segmenter; writes `clusters` and `proxy_segmenter`."""
    config = split_batches(config, "proxies", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    clusters = _fit(config, generator, options).to(device)
    _store(clusters, folder, "clusters", options.distributed)
    torch.manual_seed(options.seed)
    _run(ProxySegmenterTrainer(config, generator, clusters, device), options)
    _finish(proxy_segmenter(config), "proxy_segmenter", folder, options)


def train_rearranger(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the rearranger; writes `rearranger`, and the `discriminator` that mappers' cycles ask."""
    config = split_batches(config, "rearranger", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    segmenter = _fast(load_weights(proxy_segmenter(config), folder, "proxy_segmenter"), device)
    torch.manual_seed(options.seed)
    trainer = RearrangerTrainer(config, generator, segmenter, device)
    _run(trainer, options)
    _finish(rearranger(config, generator), "rearranger", folder, options)
    _store(trainer.discriminator, folder, "discriminator", options.distributed)


def train_mapper(
    config: PackConfig,
    folder: Path,
    options: RunOptions,
    cycle: Cycle = "labels",
    *,
    keep_rearranger: bool = False,
) -> None:
    """Train the mapper for label maps, then tune it in a cycle, by default together with the rearranger.

    Writes `mapper_label_map`; with the cycle "labels" also its judge, `label_segmenter`, and unless the
    rearranger is to stay as it is `rearranger_tuned`.

    Args:
        config: of the pack.
        folder: the pack's.
        options: of the runs.
        cycle: "labels": a label segmenter judges; "proxies": proxy masks alone do, and the rearranger stays
            as it is; "none": no cycle.
        keep_rearranger: tune the mapper alone.
    """
    config = split_batches(config, "mapper", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    start = load_weights(proxy_segmenter(config), folder, "proxy_segmenter")
    segmenter = _fast(start, device)
    samples = load_split(config, generator, "train")

    judge = None
    if cycle == "labels":
        torch.manual_seed(options.seed)
        _run(LabelSegmenterTrainer(config, generator, start, samples, device), options)
        judge = _fast(_finish(label_segmenter(config), "label_segmenter", folder, options), device)

    torch.manual_seed(options.seed)
    _run(MapperTrainer(config, generator, segmenter, samples, device), options)
    if cycle == "none":
        _finish(label_map_mapper(config), "mapper", folder, options, "mapper_label_map")
        return
    mapper = averaged_weights(label_map_mapper(config), options.folder / "mapper" / "checkpoint.pt")

    tune = cycle == "labels" and not keep_rearranger
    networks = (
        mapper,
        load_weights(
            rearranger(config, generator), folder, UNTUNED_REARRANGER if tune else served_rearranger(folder)
        ),
        load_weights(SegmenterDiscriminator(segmenter), folder, "discriminator"),
    )
    trainer = CycleTrainer(
        config, generator, Judges(segmenter, judge), networks, samples, device, tune_rearranger=tune
    )
    _run(trainer, options)
    run = trainer.name
    _finish(label_map_mapper(config), run, folder, options, "mapper_label_map", "mapper_average")
    if tune:
        _finish(rearranger(config, generator), run, folder, options, TUNED_REARRANGER, "rearranger_average")


def train_inversion(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the inverter against the rearranger that is served; writes `inverter`."""
    config = split_batches(config, "inversion", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    start = load_weights(proxy_segmenter(config), folder, "proxy_segmenter")
    arranger = place(load_weights(rearranger(config, generator), folder, served_rearranger(folder)), device)
    torch.manual_seed(options.seed)
    _run(InversionTrainer(config, generator, start, arranger, device), options)
    _finish(inverter(config, generator), INVERTER, folder, options)


def train_sketch(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train what reads sketches; writes `sketch_reader`."""
    config = split_batches(config, "sketch", options.shards)
    device = torch.device(options.device)
    generator = _generator(config, device)
    samples = load_split(config, generator, "train")
    torch.manual_seed(options.seed)
    _run(SketchTrainer(config, generator, samples, device), options)
    _finish(sketch_reader(config), "sketch_reader", folder, options)


def train_scribble(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train what completes scribbles; writes `scribble_completer`."""
    config = split_batches(config, "scribble", options.shards)
    samples = load_split(config, pretrained_generator(config), "train")
    torch.manual_seed(options.seed)
    _run(ScribbleTrainer(config, samples, torch.device(options.device)), options)
    _finish(scribble_completer(config), "scribble_completer", folder, options)


def train_judge(config: PackConfig, folder: Path, options: RunOptions) -> None:
    """Train the judge on the split that nothing else uses; writes `judge`."""
    config = split_batches(config, "judge", options.shards)
    judge_section(config)
    device = torch.device(options.device)
    generator = _generator(config, device)
    samples = load_split(config, generator, JUDGE)
    torch.manual_seed(options.seed)
    _run(JudgeTrainer(config, generator, samples, device), options)
    _finish(judge(config), JUDGE, folder, options)


STAGES: dict[str, Callable[..., None]] = {
    "proxies": train_proxies,
    "rearranger": train_rearranger,
    "mapper": train_mapper,
    "sketch": train_sketch,
    "scribble": train_scribble,
    "inversion": train_inversion,
    JUDGE: train_judge,
    "students": train_students,
}


def _generator(config: PackConfig, device: torch.device) -> Generator:
    return pretrained_generator(config).to(device)


def _fast(network: UNet, device: torch.device) -> UNet:
    return place(frozen(network), device)


@torch.no_grad()
def _fit(config: PackConfig, generator: Generator, options: RunOptions) -> ProxyClusters:
    section, seed = config.proxies, options.seed
    top = max(generator.channels)
    batch = chunk_size(generator.image_size, FIT_BATCH)
    firsts = range(0, section.samples, batch)

    def pyramid(first: int) -> FeaturePyramid:
        random = torch.Generator().manual_seed(seed + first // batch)
        count = min(batch, section.samples - first)
        latents = torch.randn(count, generator.latent_dim, generator=random) * config.latent.scale
        return generator.without_skip(generator.head(latents.to(generator.device), top))

    silent = not (options.show_progress and options.distributed.is_main)
    return fit_clusters(
        map(pyramid, tqdm(firsts, desc="samples to cluster", unit="batch", disable=silent)),
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
    _store(averaged, folder, name or run, options.distributed)
    return load_weights(network, folder, name or run)


def _store(network: nn.Module, folder: Path, name: str, distributed: DistributedContext) -> None:
    """Save weights once, so that afterwards every rank can read them.

    Students of a teacher that has changed are removed: what was trained is what is served.
    """
    if distributed.is_main:
        path = weights_path(folder, name)
        before = path.read_bytes() if path.exists() else None
        save_weights(network, folder, name)
        if name in TEACHERS and path.read_bytes() != before:
            for student in STUDENTS:
                weights_path(folder, student).unlink(missing_ok=True)
    distributed.barrier()
