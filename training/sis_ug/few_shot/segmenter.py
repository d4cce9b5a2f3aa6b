"""The few-shot segmenter: features of a sample in, its label map out, learnt from a handful.

After LinearGAN (Xu and Zheng, 2021) and RepurposeGAN (Tritrong et al., 2021): a generator's features know the
parts of what it draws, so that very little is left to learn. It sees the features as they were clustered, the
clusters that the proxy segmenter reads, and the image for the outlines (our design).
"""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.contact_sheets import contact_sheet, paint_labels
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig, few_shot_section
from training.sis_ug.few_shot.views import Views

EMA_DECAY = 0.99
SLOPE = 0.2
ZOOM = 0.15
"""Training samples are made larger or smaller by up to this share ..."""
SHIFT = 0.15
"""... and moved by up to this share of half an image ..."""
NOISE = 0.05
"""... and noise of this standard deviation is added to cells and images ..."""
DROPPED = 0.1
"""... and this share of the channels of cells and clusters is left out ..."""
WITHOUT_IMAGE = 0.3
"""... and in this share of samples the image, whose colours a handful says little about."""


class FewShotSegmenter(nn.Module):
    """Views to label logits. Its layers are few and see little around them: a handful teaches no more.

    Args:
        components: channels P of the cells.
        clusters: number K of proxy clusters.
        classes: number of label classes.
        width: channels of its layers.
        fold: pixels per side of an image for each cell.
    """

    def __init__(self, components: int, clusters: int, classes: int, width: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.coarse = nn.Sequential(
            nn.Conv2d(components + clusters, width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(SLOPE),
        )
        self.fine = nn.Sequential(
            nn.Conv2d(width + 3, width, 3, padding=1, padding_mode="replicate"),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, classes, 1),
        )

    def forward(self, views: Views) -> Tensor:
        """Label logits `[B, classes, H, W]`."""
        # Cells are unit vectors of P numbers, so that each is small; the others are shares and images.
        cells = views.cells * math.sqrt(views.cells.shape[1])
        coarse = self.coarse(torch.cat([cells, views.proxies], 1))
        lifted = F.interpolate(coarse, scale_factor=float(self.fold), mode="bilinear", align_corners=False)
        logits: Tensor = self.fine(torch.cat([lifted, views.images], 1))
        return logits


class FewShotTrainer(ClassifierTrainer):
    """See the module's text; right are the labels of the handful.

    Args:
        config: of the pack.
        views: of the N labelled samples.
        labels: their label maps, uint8 `[N, H, W]`; IGNORED where nobody said.
        device: where.
    """

    name = "few_shot_segmenter"

    def __init__(self, config: PackConfig, views: Views, labels: Tensor, device: torch.device) -> None:
        section = few_shot_section(config)
        network = FewShotSegmenter(
            views.cells.shape[1], views.proxies.shape[1], len(config.palette), section.width, config.fold
        )
        super().__init__(network, section, EMA_DECAY, device)
        self.palette, self.views, self.labels = config.palette, views, labels.to(device)

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some of the handful, each time mirrored, moved, zoomed and disturbed another way."""
        chosen = torch.randint(len(self.labels), (self.batch,), generator=generator)
        views, labels = moved(self.views.of(chosen), self.labels[chosen], generator)
        return self.network(disturbed(views, generator)), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """The labelled images, their label maps, and what the segmenter reads."""
        read = self.average(self.views).argmax(1)
        maps = (paint_labels(each, self.palette) for each in (self.labels, read))
        return contact_sheet([self.views.images, *maps])


def moved(views: Views, labels: Tensor, generator: torch.Generator) -> tuple[Views, Tensor]:
    """Mirror half of the samples, zoom and shift all, with their labels."""
    count = len(labels)
    zoom = 1 + ZOOM * (2 * torch.rand(count, generator=generator) - 1)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = zoom * mirror, zoom
    theta[:, :, 2] = SHIFT * (2 * torch.rand(count, 2, generator=generator) - 1)
    theta = theta.to(labels.device)

    def warp(maps: Tensor, mode: str) -> Tensor:
        grid = F.affine_grid(theta, list(maps.shape), align_corners=False)
        return F.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)

    warped = (warp(each, "bilinear") for each in (views.cells, views.proxies, views.images))
    return Views(*warped), warp(labels[:, None].float(), "nearest")[:, 0].long()


def disturbed(views: Views, generator: torch.Generator) -> Views:
    """Add noise, and leave out channels and images."""

    def noise(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=generator).to(like.device)

    def kept(shape: tuple[int, ...], share: float, like: Tensor) -> Tensor:
        return (torch.rand(shape, generator=generator) < share).float().to(like.device)

    count, channels = views.cells.shape[:2]
    unit = 1 / math.sqrt(channels)
    cells = (views.cells + noise(views.cells, NOISE * unit)) * kept(
        (count, channels, 1, 1), 1 - DROPPED, views.cells
    )
    proxies = views.proxies * kept((count, views.proxies.shape[1], 1, 1), 1 - DROPPED, views.proxies)
    images = (views.images + noise(views.images, NOISE)) * kept(
        (count, 1, 1, 1), 1 - WITHOUT_IMAGE, views.images
    )
    return Views(cells, proxies, images)
