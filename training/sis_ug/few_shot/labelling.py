"""From a handful of labelled samples to label maps of any number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config.weights import load_weights
from training.data.samples import chunk_size
from training.generators.base import Generator
from training.networks.unet import frozen
from training.runs.loop import train
from training.runs.optimization import mixed_precision
from training.runs.options import RunOptions
from training.sis_ug.clustering import ProxyClusters
from training.sis_ug.config import PackConfig, few_shot_section
from training.sis_ug.few_shot.segmenter import FewShotSegmenter, FewShotTrainer
from training.sis_ug.few_shot.views import Viewer, views_of
from training.sis_ug.networks.build import proxy_segmenter

CHUNK = 100


class Labelling:
    """Trains few-shot segmenters of a pack, and labels samples with them.

    Args:
        config: of the pack.
        generator: its own.
        folder: the pack's, with `clusters` and `proxy_segmenter`.

    Raises:
        FileNotFoundError: if one of these has not been trained.
        ValueError: if the pack has no section [few_shot].
    """

    def __init__(self, config: PackConfig, generator: Generator, folder: Path) -> None:
        few_shot_section(config)
        self.config, self.device = config, generator.device
        self.chunk = chunk_size(generator.image_size, CHUNK)
        clusters = load_weights(_empty_clusters(config, generator), folder, "clusters")
        segmenter = frozen(load_weights(proxy_segmenter(config), folder, "proxy_segmenter"))
        self.viewer = Viewer(generator, clusters.to(self.device), segmenter.to(self.device))

    def learn(self, latents: Tensor, labels: Tensor, options: RunOptions) -> FewShotSegmenter:
        """Train a segmenter on a handful.

        Args:
            latents: of the samples, `[N, latent_dim]`.
            labels: their label maps, uint8 `[N, H, W]`; IGNORED where nobody said.
            options: of the run; its folder becomes that of checkpoint and sheets.
        """
        views = views_of(self.viewer, latents.to(self.device), self.chunk)
        torch.manual_seed(options.seed)
        trainer = FewShotTrainer(self.config, views, labels, self.device)
        train(trainer, dataclasses.replace(options, folder=options.folder / trainer.name))
        segmenter = trainer.average.module
        assert isinstance(segmenter, FewShotSegmenter)
        return segmenter

    @torch.no_grad()
    def label(self, segmenter: FewShotSegmenter, latents: Tensor) -> NDArray[np.uint8]:
        """Label maps, uint8 `[N, H, W]`, of samples of latents `[N, latent_dim]`."""
        with mixed_precision(self.device):
            read = [
                segmenter(self.viewer(part.to(self.device))).argmax(1).byte().cpu()
                for part in latents.split(self.chunk)
            ]
        return torch.cat(read).numpy()


def _empty_clusters(config: PackConfig, generator: Generator) -> ProxyClusters:
    """Of the shape that the pack's stored clusters have."""
    section = config.proxies
    columns = sum(channels - generator.skip_channels for channels in generator.channels.values())
    return ProxyClusters(
        torch.zeros(columns),
        torch.zeros(section.components, columns),
        torch.zeros(section.clusters, section.components),
        section.resolution,
    )
