"""Training of the label segmenter: pictures -> label maps, the differentiable judge of the mapper's cycle.

It starts as the proxy segmenter. The final evaluation never asks it: that is the independent labeller's part.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.config import PackConfig
from training.data.labelled import LabelledSamples
from training.generators.base import Generator
from training.networks import label_segmenter
from training.runs import Metrics, Stateful, moving_average, place, set_learning_rate, warm_cosine
from training.sheets import contact_sheet, paint_labels
from training.unet import UNet

EMA_DECAY = 0.995


class LabelSegmenterTrainer:
    """See the module's text; metrics: `loss` (cross-entropy) and `accuracy` against the labeller."""

    name = "label_segmenter"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        section = config.mapper.label_segmenter
        self.steps, self.batch, self.rate = section.steps, section.batch, section.learning_rate
        self.palette, self.device, self.generator, self.samples = config.palette, device, generator, samples
        self.network = label_segmenter(config)
        start = {k: v for k, v in segmenter.state_dict().items() if not k.startswith("classify.")}
        self.network.load_state_dict(start, strict=False)
        place(self.network, device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=1e-4)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch; half of it mirrored."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        self.network.train()
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            pictures, labels = self._pictures(chosen)
            half = self.batch // 2
            pictures = torch.cat([pictures[:half], pictures[half:].flip(3)])
            labels = torch.cat([labels[:half], labels[half:].flip(2)])
            logits = self.network(pictures)
        loss = F.cross_entropy(logits.float(), labels.long())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        accuracy = (logits.argmax(1) == labels).float().mean()
        return {"loss": loss.item(), "accuracy": accuracy.item()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Pictures, the labeller's maps, the network's."""
        pictures, labels = self._pictures(torch.arange(16))
        read = self.average(pictures).argmax(1)
        return contact_sheet([pictures, paint_labels(labels, self.palette), paint_labels(read, self.palette)])

    @torch.no_grad()
    def _pictures(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        pictures = self.generator.pictures(self.samples.latents[chosen].to(self.device))
        return pictures.float(), self.samples.labels[chosen].to(self.device)
