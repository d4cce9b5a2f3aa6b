"""Training of the inverter on the generator's own images; no photograph is used.

Of a batch, *plain* samples come with the features they were made from, which teach what the rearranger knows.
The others are distorted, so that no latent and no features of theirs exist: what is asked of them is that
the image comes back, through the generator's tail, and through the rearranger where it is to leave
everything in its place.

The way down starts as the proxy segmenter's: it has seen what the rearranger's clusters are made of.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.data.contact_sheets import contact_sheet
from training.generators.base import FeaturePyramid, Generator
from training.networks.one_hot import one_hot
from training.networks.unet import UNet, frozen
from training.runs.checkpoints import Stateful
from training.runs.optimization import mixed_precision, moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Shard, Step, Update
from training.sis_ug.config import PackConfig, inversion_section
from training.sis_ug.inversion.distortion import distorted
from training.sis_ug.inversion.reconstruction import decibels
from training.sis_ug.losses import feature_loss
from training.sis_ug.networks.build import inverter
from training.sis_ug.networks.rearranger import Rearranger

EMA_DECAY = 0.998
GRADIENT_CLIP = 1.0
SHOWN = 14


class InversionTrainer:
    """See the module's text.

    Metrics: each loss by name, and the PSNR in decibels of `plain` and of `distorted` images through the
    tail, and of `kept` ones, through the rearranger.
    """

    name = "inverter"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        arranger: Rearranger,
        device: torch.device,
    ) -> None:
        section = inversion_section(config)
        self.config, self.section, self.device = config, section, device
        self.generator, self.rearranger = generator, arranger
        self.segmenter = place(frozen(segmenter), device)
        self.steps, self.batch = section.steps, section.batch
        self.plain = section.plain_samples
        self.finest = config.rearranger.levels[-1].resolution
        network = inverter(config, generator)
        mine = network.state_dict()
        known = {k: v for k, v in segmenter.state_dict().items() if k in mine and mine[k].shape == v.shape}
        network.load_state_dict(known, strict=False)
        self.network = place(network.requires_grad_(True), device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=section.learning_rate)
        self.learner = Learner(self.network, self.optimizer, GRADIENT_CLIP, self.average)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, shard: Shard) -> Step:
        """One batch: plain samples first, distorted ones after."""
        set_learning_rate(self.optimizer, self.section.learning_rate * warm_cosine(step, self.steps))
        self.network.train()
        pyramid, images = self._draw(self.batch, shard.generator)
        plain = slice(None, self.plain)
        # Some of both kinds go through the rearranger, which costs more than all the rest.
        middle = max(0, self.plain - self.section.kept_samples // 2)
        kept = slice(middle, middle + self.section.kept_samples)
        with mixed_precision(self.device, shard.precision):
            found = self.network(images)
            result = self.generator.tail(found[self.finest], self.finest).float()
            again = self._rearranged({r: f[kept] for r, f in found.items()}, images[kept])
        losses = {
            "image": F.l1_loss(result, images),
            "features": feature_loss(
                {r: f[plain].float() for r, f in found.items()},
                {r: pyramid[r][plain] for r in found},
                self.section.weights.features,
            ),
            "kept": F.l1_loss(again, images[kept]),
        }
        weights = self.section.weights
        total = weights.image * losses["image"] + losses["features"] + weights.kept * losses["kept"]
        yield Update(total, (self.learner,))
        return {
            "plain": _mean_decibels(result[plain], images[plain]),
            "distorted": _mean_decibels(result[self.plain :], images[self.plain :]),
            "kept_psnr": _mean_decibels(again, images[kept]),
            "total": total.item(),
            **{name: loss.item() for name, loss in losses.items()},
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Plain images and distorted ones, what comes back, and what comes back through the rearranger."""
        _, images = self._draw(SHOWN, torch.Generator().manual_seed(1), plain=SHOWN // 2)
        found = self.average(images)
        result = self.generator.tail(found[self.finest], self.finest)
        return contact_sheet([images, result, self._rearranged(found, images)])

    @torch.no_grad()
    def _draw(
        self, count: int, generator: torch.Generator, plain: int | None = None
    ) -> tuple[FeaturePyramid, Tensor]:
        plain = self.plain if plain is None else plain
        latents = torch.randn(count, self.generator.latent_dim, generator=generator)
        pyramid, images = self.generator.sample(latents.to(self.device) * self.config.latent.scale)
        strange = distorted(images[plain:], generator)
        return pyramid, torch.cat([images[:plain], strange])

    def _rearranged(self, found: FeaturePyramid, images: Tensor) -> Tensor:
        """The images `[B, 3, H, W]` of features rearranged from their own proxy mask to the same."""
        with torch.no_grad():
            mask = one_hot(self.segmenter(images).argmax(1), self.config.proxies.clusters)
        cut = self.config.rearranger.cut
        arranged = self.rearranger(self.generator, found, mask, mask)
        return self.generator.tail(arranged[cut], cut).float()


@torch.no_grad()
def _mean_decibels(found: Tensor, wanted: Tensor) -> float:
    return float(decibels(found, wanted).mean())
