"""Training of GroupDNet: images come back from their codes, and each code stays in its own part.

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

from training.config.palette import IGNORED
from training.data.contact_sheets import contact_sheet, paint_labels
from training.groupdnet.config import StylesConfig
from training.groupdnet.losses import (
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    kl_divergence,
    leak_loss,
    perceptual_loss,
    pixel_loss,
)
from training.groupdnet.networks.discriminator import MultiscaleDiscriminator
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.one_hot import class_ids
from training.networks.unet import UNet
from training.runs.checkpoints import Stateful
from training.runs.optimization import mixed_precision, moving_average, place, set_learning_rate
from training.runs.updates import Learner, Precision, Shard, Step, Update
from training.sis_ug.losses import style_loss

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
SHEET_WIDTH = 3072
"""Pixels that a contact sheet of large images may have; at least `SHEET_FEWEST` of them are shown."""
SHEET_FEWEST = 4


class Batch(NamedTuple):
    """What one step is about; mixtures are of the first half.

    Attributes:
        images: `[B, 3, H, W]`.
        maps: one-hot `[B, classes, H, W]`.
        regions: by style, one-hot `[B, styles, H, W]`.
        kept: styles that keep their code in the mixtures, bool `[B / 2, styles]`.
    """

    images: Tensor
    maps: Tensor
    regions: Tensor
    kept: Tensor


def chosen_precision(asked: Precision, device: torch.device) -> Precision:
    """What "auto" is here: on GPUs "32" (on an H100 16.8 steps a second, not 14.5), on CPUs left as it is."""
    return "32" if asked == "auto" and device.type != "cpu" else asked


class StylesTrainer:
    """See the module's text. Metrics: each loss by name, and `accuracy` as the label segmenter reads it."""

    name = "styles"

    def __init__(
        self,
        config: StylesConfig,
        judge: UNet,
        samples: ImagePairs,
        device: torch.device,
        shown: ImagePairs | None = None,
    ) -> None:
        """Args: `samples` to train on; `shown`, held out, to draw on contact sheets, None: the same."""
        section = config.needed_training
        self.config, self.section, self.samples, self.device = config, section, samples, device
        self.shown = shown or samples
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
        self.learner = Learner(self.network, self.optimizers["network"], GRADIENT_CLIP, self.average)
        self.discriminator_learner = Learner(self.discriminator, self.optimizers["discriminator"])
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "discriminator": self.discriminator,
            "average": self.average,
            **{f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()},
        }

    def step(self, step: int, shard: Shard) -> Step:
        """One batch."""
        for name, optimizer in self.optimizers.items():
            # Constant, then falling to nothing in the second half, as the paper's.
            set_learning_rate(optimizer, self.rates[name] * min(1.0, 2 - 2 * step / self.steps))
        batch = self._draw(shard.generator)
        half = len(batch.kept)
        precision = chosen_precision(shard.precision, self.device)
        everything = torch.cat([batch.maps, batch.maps[:half]])
        with mixed_precision(self.device, precision):
            mean, log_variance = (part.float() for part in self.network.encode(batch.images, batch.maps))
            noise = torch.randn(mean.shape, generator=shard.generator).to(self.device)
            codes = mean + noise * (0.5 * log_variance).exp()
            mixed_codes = torch.where(batch.kept[:, :, None], codes[:half], codes.roll(1, 0)[:half])
            images = self.network(torch.cat([codes, mixed_codes]), everything).float()
            # The second half's reconstructions and the first half's mixtures: as many fakes as real images.
            real = self.discriminator(batch.images, batch.maps)
            judged = self.discriminator(images[half:].detach(), everything[half:])
        judgement = hinge_discriminator(real, judged)
        yield Update(judgement, (self.discriminator_learner,))
        # Evaluating: features of real and made images are of one state, which these passes leave as it is.
        self.discriminator.requires_grad_(False).eval()
        with mixed_precision(self.device, precision):
            fake = self.discriminator(images, everything)
            with torch.no_grad():
                real = self.discriminator(batch.images, batch.maps)
                wanted = [level.float() for level in self.judge.encode_features(batch.images)]
            read = [level.float() for level in self.judge.encode_features(images)]
            logits = self.judge.decode_features(read).float()
        self.discriminator.requires_grad_(True).train()

        whole = len(batch.images)
        wanted_ids = class_ids(everything)
        swapped = (~batch.kept).float()[:, :, None, None]
        kept = (batch.regions[:half] * (1 - swapped)).sum(1, keepdim=True)
        losses = {
            "adversarial": hinge_generator(fake),
            "matching": feature_matching(real, [[layer[:whole] for layer in scale] for scale in fake]),
            "pixels": pixel_loss(batch.images, images[:whole]),
            "features": perceptual_loss(wanted, [level[:whole] for level in read]),
            "label": F.cross_entropy(logits, wanted_ids, ignore_index=IGNORED),
            "kl": kl_divergence(mean, log_variance),
            "leak": leak_loss(images[:half], images[whole:], kept),
            "style": style_loss(
                batch.images.roll(1, 0)[:half],
                batch.regions.roll(1, 0)[:half],
                images[whole:],
                batch.regions[:half] * swapped,
            ).mean(),
        }
        weights = self.section.weights.model_dump()
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        yield Update(total, (self.learner,))
        accuracy = (logits.argmax(1) == wanted_ids)[wanted_ids != IGNORED].float().mean()
        return {
            "accuracy": accuracy.item(),
            "total": total.item(),
            "discriminator": judgement.item(),
            **{name: loss.item() for name, loss in losses.items()},
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps; images; from their codes; from a neighbour's; with the neighbour's shown style."""
        network: GroupDNet = self.average.module  # type: ignore[assignment]  # known to the stubs as a module
        _, width = self.config.network.image_size
        columns = max(SHEET_FEWEST, min(SHEET_COLUMNS, SHEET_WIDTH // width))
        chosen = torch.arange(min(columns, len(self.shown)))
        # One by one: many at once may need more memory than the training.
        parts = [self.shown.batch(one[None], self.device) for one in chosen]
        codes = torch.cat([network.encode(images, maps)[0] for images, maps in parts])
        other = codes.roll(1, 0)
        single, style = codes.clone(), self.config.shown_style
        single[:, style] = other[:, style]
        made = [
            torch.cat([network(some[i, None], maps).float() for i, (_, maps) in enumerate(parts)])
            for some in (codes, other, single)
        ]
        images, ids = torch.cat([part[0] for part in parts]), self.shown.labels[chosen]
        return contact_sheet([paint_labels(ids, self.config.palette), images, *made])

    def _draw(self, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        images, maps = self.samples.batch(chosen, self.device)
        mirrored = (torch.rand(self.batch, generator=generator) < MIRRORED * self.samples.mirror).to(
            self.device
        )[:, None, None, None]
        images = torch.where(mirrored, images.flip(3), images)
        maps = torch.where(mirrored, maps.flip(3), maps)
        half = self.batch // 2
        kept = torch.rand(half, self.config.network.styles, generator=generator) < KEPT
        kept &= torch.rand(half, 1, generator=generator) >= STRANGE
        return Batch(images, maps, self.network.style_maps(maps), kept.to(self.device))
