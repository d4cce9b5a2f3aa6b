"""Training of GroupDNet: pictures come back from their codes, and each code stays in its own part.

Besides reconstructing, half of a batch is made anew with the codes of some styles taken from a neighbour:
nothing may change elsewhere (the leak loss), the parts that changed must take the neighbour's colours (the
style loss), and the discriminator, which is told the map, must believe the mixture too. Without the mixtures
the decoder only ever meets codes that belong together, and fresh ones at inference give blotches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.groupdnet.discriminator import MultiscaleDiscriminator
from training.groupdnet.losses import (
    Layers,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    kl_divergence,
    leak_loss,
    perceptual_loss,
    pixel_loss,
)
from training.groupdnet.network import GroupDNet
from training.groupdnet.pack_config import StylesConfig
from training.groupdnet.samples import PicturePairs
from training.losses import style_loss
from training.palette import IGNORED
from training.runs import Metrics, Stateful, moving_average, place, set_learning_rate
from training.sheets import contact_sheet, paint_labels
from training.unet import UNet, class_ids

EMA_DECAY = 0.999
BETAS = (0.5, 0.99)
GRADIENT_CLIP = 10.0
KEPT = 0.5
"""Chance of a style to keep its code in a mixture."""
STRANGE = 0.5
"""Chance of a mixture to keep none: without these, whole sets of codes fitted their own maps alone."""
MIRRORED = 0.5
"""Chance of a pair to be mirrored, where that is allowed."""
SHEET_COLUMNS = 12


class Batch(NamedTuple):
    """What one step is about; mixtures are of the first half.

    Attributes:
        pictures: `[B, 3, H, W]`.
        maps: one-hot `[B, classes, H, W]`.
        regions: by style, one-hot `[B, styles, H, W]`.
        kept: styles that keep their code in the mixtures, bool `[B / 2, styles]`.
    """

    pictures: Tensor
    maps: Tensor
    regions: Tensor
    kept: Tensor


class StylesTrainer:
    """See the module's text. Metrics: each loss by name, and `accuracy` as the label segmenter reads it."""

    name = "styles"

    def __init__(
        self, config: StylesConfig, judge: UNet, samples: PicturePairs, device: torch.device
    ) -> None:
        section = config.training
        self.config, self.section, self.samples, self.device = config, section, samples, device
        self.steps, self.batch, self.judge = section.steps, section.batch, judge
        self.network = place(GroupDNet(config.network), device)
        self.discriminator = place(
            MultiscaleDiscriminator(
                len(config.palette), section.discriminator.width, section.discriminator.layers
            ),
            device,
        )
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizers = {
            "network": torch.optim.Adam(self.network.parameters(), lr=section.learning_rate, betas=BETAS),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(), lr=section.discriminator_learning_rate, betas=BETAS
            ),
        }
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "discriminator": self.discriminator,
            "average": self.average,
            **{f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()},
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch."""
        for name, optimizer in self.optimizers.items():
            # Constant, then falling to nothing in the second half, as the paper's.
            set_learning_rate(optimizer, self.rates[name] * min(1.0, 2 - 2 * step / self.steps))
        batch = self._draw(generator)
        half = len(batch.kept)
        # Not in half precision: on an H100, 14.5 steps a second instead of 16.8.
        mean, log_variance = self.network.encode(batch.pictures, batch.maps)
        noise = torch.randn(mean.shape, generator=generator).to(self.device)
        codes = mean + noise * (0.5 * log_variance).exp()
        mixed_codes = torch.where(batch.kept[:, :, None], codes[:half], codes.roll(1, 0)[:half])
        everything = torch.cat([batch.maps, batch.maps[:half]])
        pictures = self.network(torch.cat([codes, mixed_codes]), everything)
        # The second half's reconstructions and the first half's mixtures: as many fakes as real pictures.
        real, discriminator = self._train_discriminator(batch, pictures[half:].detach(), everything[half:])
        self.discriminator.requires_grad_(False)
        fake = self.discriminator(pictures, everything)
        with torch.no_grad():
            wanted = self.judge.encode_features(batch.pictures)
        read = self.judge.encode_features(pictures)
        logits = self.judge.decode_features(read)
        self.discriminator.requires_grad_(True)

        whole = len(batch.pictures)
        wanted_ids = class_ids(everything)
        swapped = (~batch.kept).float()[:, :, None, None]
        kept = (batch.regions[:half] * (1 - swapped)).sum(1, keepdim=True)
        losses = {
            "adversarial": hinge_generator(fake),
            "matching": feature_matching(real, [[layer[:whole] for layer in scale] for scale in fake]),
            "pixels": pixel_loss(batch.pictures, pictures[:whole]),
            "features": perceptual_loss(wanted, [level[:whole] for level in read]),
            "label": F.cross_entropy(logits, wanted_ids, ignore_index=IGNORED),
            "kl": kl_divergence(mean, log_variance),
            "leak": leak_loss(pictures[:half], pictures[whole:], kept),
            "style": style_loss(
                batch.pictures.roll(1, 0)[:half],
                batch.regions.roll(1, 0)[:half],
                pictures[whole:],
                batch.regions[:half] * swapped,
            ).mean(),
        }
        weights = self.section.weights.model_dump()
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        self.optimizers["network"].zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_CLIP)
        self.optimizers["network"].step()
        self.average.update_parameters(self.network)
        accuracy = (logits.argmax(1) == wanted_ids)[wanted_ids != IGNORED].float().mean()
        return {
            "accuracy": accuracy.item(),
            "total": total.item(),
            "discriminator": discriminator,
            **{name: loss.item() for name, loss in losses.items()},
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps; pictures; from their codes; from a neighbour's; with the neighbour's shown style."""
        network: GroupDNet = self.average.module  # type: ignore[assignment]  # known to the stubs as a module
        chosen = torch.arange(min(SHEET_COLUMNS, len(self.samples)))
        pictures, maps = self.samples.batch(chosen, self.device)
        codes, _ = network.encode(pictures, maps)
        other = codes.roll(1, 0)
        single, shown = codes.clone(), self.config.shown_style
        single[:, shown] = other[:, shown]
        made = [network(some, maps).float() for some in (codes, other, single)]
        return contact_sheet([paint_labels(class_ids(maps), self.config.palette), pictures, *made])

    def _draw(self, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        pictures, maps = self.samples.batch(chosen, self.device)
        mirrored = (torch.rand(self.batch, generator=generator) < MIRRORED * self.samples.mirror).to(
            self.device
        )[:, None, None, None]
        pictures = torch.where(mirrored, pictures.flip(3), pictures)
        maps = torch.where(mirrored, maps.flip(3), maps)
        half = self.batch // 2
        kept = torch.rand(half, self.config.network.styles, generator=generator) < KEPT
        kept &= torch.rand(half, 1, generator=generator) >= STRANGE
        return Batch(pictures, maps, self.network.style_maps(maps), kept.to(self.device))

    def _train_discriminator(self, batch: Batch, pictures: Tensor, maps: Tensor) -> tuple[Layers, float]:
        """One step; returns the features of the real pictures as well, for the feature matching."""
        real = self.discriminator(batch.pictures, batch.maps)
        fake = self.discriminator(pictures, maps)
        loss = hinge_discriminator(real, fake)
        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["discriminator"].step()
        return [[layer.detach() for layer in scale] for scale in real], loss.item()
