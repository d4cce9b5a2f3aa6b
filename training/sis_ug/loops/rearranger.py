"""Training of the rearranger: self-supervised on the generator's own samples, no label and no real image.

A batch is split in two. *Self* samples have their own proxy mask for target and must come back as they were
(SIS-UG's self-reconstruction loss); *cross* samples get the mask of another sample of the batch and must
match it (mask loss). What we add: mean colours per cluster stay those of the source, and a discriminator
judges the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.data.contact_sheets import contact_sheet, paint_clusters
from training.generators.base import FeaturePyramid, Generator
from training.networks.one_hot import one_hot
from training.networks.unet import UNet
from training.runs.checkpoints import Stateful
from training.runs.optimization import mixed_precision, moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Shard, Step, Update
from training.sis_ug.config import PackConfig
from training.sis_ug.losses import adversarial_loss, discriminator_loss, feature_loss, mask_loss, style_loss
from training.sis_ug.networks.build import rearranger
from training.sis_ug.networks.discriminator import SegmenterDiscriminator

EMA_DECAY = 0.998
GRADIENT_CLIP = 5.0
BETAS = (0.5, 0.99)
DISCRIMINATOR_BETAS = (0.0, 0.99)


@dataclass(frozen=True, slots=True)
class Samples:
    """A batch of the generator's samples with what the segmenter reads off them."""

    pyramid: FeaturePyramid
    images: Tensor
    logits: Tensor
    """Proxy logits `[B, K, m, m]`."""
    masks: Tensor
    """Proxy masks, int64 `[B, m, m]`."""
    styles: Tensor | None = None
    """Layer styles, if the generator has such."""

    def part(self, chosen: slice) -> Samples:
        """Some of the samples."""
        pyramid = {r: features[chosen] for r, features in self.pyramid.items()}
        styles = None if self.styles is None else self.styles[chosen]
        return Samples(pyramid, self.images[chosen], self.logits[chosen], self.masks[chosen], styles)


@torch.no_grad()
def draw_samples(generator: Generator, segmenter: UNet, latents: Tensor) -> Samples:
    """Samples of latents `[B, latent_dim]`."""
    styles = generator.styles(latents)
    pyramid, images = generator.sample(latents, styles)
    logits = segmenter(images).float()
    return Samples(pyramid, images.float(), logits, logits.argmax(1), styles)


def judgement_loss(discriminator: SegmenterDiscriminator, source: Samples, result: Tensor) -> Tensor:
    """What the discriminator learns from, every second sample, which is enough for it.

    Args:
        discriminator: learns.
        source: real samples.
        result: generated images `[B, 3, H, W]`, detached.
    """
    half = slice(None, None, 2)
    real, fake = (discriminator(images[half]) for images in (source.images, result))
    return discriminator_loss(
        (real[0].float(), real[1].float()), source.masks[half], (fake[0].float(), fake[1].float())
    )


def mask_givers(batch: int, own: int) -> Tensor:
    """Whose mask each sample takes, int `[batch]`: the first `own` their own, others a neighbour's."""
    giver = torch.arange(batch)
    giver[own:] = giver[own:].roll(1)
    if batch - own == 1:  # without a neighbour
        giver[own] = 0
    return giver


class RearrangerTrainer:
    """See the module's text.

    Metrics: each loss by name, and `agreement`, the share of cells that the segmenter reads as their target.
    """

    name = "rearranger"

    def __init__(
        self, config: PackConfig, generator: Generator, segmenter: UNet, device: torch.device
    ) -> None:
        self.config, self.generator, self.segmenter, self.device = config, generator, segmenter, device
        section = config.rearranger
        self.steps, self.batch, self.weights = section.steps, section.batch, section.weights
        self.self_samples = section.self_samples
        self.clusters = config.proxies.clusters
        self.network = place(rearranger(config, generator), device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.discriminator = SegmenterDiscriminator(segmenter).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=section.learning_rate, betas=BETAS)
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=section.discriminator_learning_rate, betas=DISCRIMINATOR_BETAS
        )
        self.learner = Learner(self.network, self.optimizer, GRADIENT_CLIP, self.average)
        self.discriminator_learner = Learner(self.discriminator, self.discriminator_optimizer)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "discriminator": self.discriminator,
            "optimizer": self.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def step(self, step: int, shard: Shard) -> Step:
        """One step of the rearranger and one of the discriminator."""
        section = self.config.rearranger
        factor = warm_cosine(step, self.steps)
        set_learning_rate(self.optimizer, section.learning_rate * factor)
        set_learning_rate(self.discriminator_optimizer, section.discriminator_learning_rate * factor)
        side = self.generator.image_size
        latents = torch.randn(self.batch, self.generator.latent_dim, generator=shard.generator)
        noise = torch.randn(self.batch, 3, side, side, generator=shard.generator)
        with mixed_precision(self.device, shard.precision):
            source = draw_samples(
                self.generator, self.segmenter, latents.to(self.device) * self.config.latent.scale
            )
            giver = mask_givers(self.batch, self.self_samples)
            target = source.masks[giver]
            rearranged, result = self._rearrange(self.network, source, target)
            judgement = judgement_loss(self.discriminator, source, result.detach())
        # Autocast keeps its copies of the weights until its context ends: a second one, so that the images
        # are judged by the discriminator as it is after its step.
        yield Update(judgement, (self.discriminator_learner,))
        with mixed_precision(self.device, shard.precision):
            judged = self.discriminator(result)
            own, others = slice(None, self.self_samples), slice(self.self_samples, None)
            read = self.segmenter(result[others] + self.weights.mask_noise * noise[others].to(self.device))

        losses = {
            "image": F.l1_loss(result[own], source.images[own]),
            "features": feature_loss(
                {r: f[own].float() for r, f in rearranged.items()},
                {r: source.pyramid[r][own].float() for r in rearranged},
                self.weights.features,
            ),
            "mask": mask_loss(read.float(), source.logits[giver][others]),
            "style": style_loss(
                source.images[others],
                self._one_hot(source.masks[others]),
                result[others],
                self._one_hot(target[others]),
            ).mean(),
            "adversarial": adversarial_loss((judged[0].float(), judged[1].float()), target),
        }
        weights = self.weights
        total = (
            weights.image * losses["image"]
            + losses["features"]
            + weights.mask * losses["mask"]
            + weights.style * losses["style"]
            + weights.adversarial * losses["adversarial"]
        )
        yield Update(total, (self.learner,))
        agreement = (read.argmax(1) == target[others]).float().mean()
        return {
            "agreement": agreement.item(),
            "total": total.item(),
            **{name: loss.item() for name, loss in losses.items()},
            "discriminator": judgement.item(),
        }

    def _rearrange(
        self, network: torch.nn.Module, source: Samples, target: Tensor
    ) -> tuple[FeaturePyramid, Tensor]:
        rearranged = network(
            self.generator, source.pyramid, self._one_hot(source.masks), self._one_hot(target), source.styles
        )
        cut = self.config.rearranger.cut
        return rearranged, self.generator.tail(rearranged[cut], cut, source.styles).float()

    def _one_hot(self, masks: Tensor) -> Tensor:
        return one_hot(masks, self.clusters)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Sources; themselves rearranged; each in the shape of its right neighbour; targets; what is read."""
        latents = torch.randn(14, self.generator.latent_dim, generator=torch.Generator().manual_seed(1))
        source = draw_samples(
            self.generator, self.segmenter, latents.to(self.device) * self.config.latent.scale
        )
        target = source.masks.roll(-1, 0)
        _, own = self._rearrange(self.average, source, source.masks)
        _, result = self._rearrange(self.average, source, target)
        read = self.segmenter(result).argmax(1)
        return contact_sheet([source.images, own, result, paint_clusters(target), paint_clusters(read)])
