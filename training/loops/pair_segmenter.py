"""Training of the label segmenter of a pack that has pictures of its own: pictures -> label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.groupdnet.samples import PicturePairs
from training.loops.classifier import ClassifierTrainer
from training.palette import Palette
from training.sections import ClassifierSection
from training.sheets import contact_sheet, paint_labels
from training.unet import UNet

EMA_DECAY = 0.995
SHEET_COLUMNS = 16


class PairSegmenterTrainer(ClassifierTrainer):
    """See the module's text; right are the label maps that came with the pictures."""

    name = "label_segmenter"

    def __init__(
        self,
        network: UNet,
        section: ClassifierSection,
        pairs: PicturePairs,
        palette: Palette,
        device: torch.device,
    ) -> None:
        super().__init__(network, section, EMA_DECAY, device)
        self.pairs, self.palette = pairs, palette

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pairs; half of them mirrored, where that is allowed."""
        chosen = torch.randint(len(self.pairs), (self.batch,), generator=generator)
        pictures, labels = self._pairs(chosen)
        if self.pairs.mirror:
            half = self.batch // 2
            pictures = torch.cat([pictures[:half], pictures[half:].flip(3)])
            labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(pictures), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Pictures, their label maps, the network's."""
        pictures, labels = self._pairs(torch.arange(min(SHEET_COLUMNS, len(self.pairs))))
        read = self.average(pictures).argmax(1)
        return contact_sheet([pictures, paint_labels(labels, self.palette), paint_labels(read, self.palette)])

    def _pairs(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        pictures, _ = self.pairs.batch(chosen, self.device)
        return pictures, self.pairs.labels[chosen].to(self.device)
