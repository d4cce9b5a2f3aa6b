"""Training of the label segmenter of a pack that has pictures of its own: pictures -> label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.groupdnet.samples import PicturePairs
from training.loops.classifier import ClassifierTrainer
from training.palette import Palette
from training.sections import ClassifierSection
from training.sheets import CELL, contact_sheet, paint_labels
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
        shown: PicturePairs | None = None,
    ) -> None:
        """Args: `pairs` to train on; `shown`, held out, to draw on contact sheets, None: the same."""
        super().__init__(network, section, EMA_DECAY, device)
        self.pairs, self.palette, self.shown = pairs, palette, shown or pairs

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pairs; half of them mirrored, where that is allowed."""
        chosen = torch.randint(len(self.pairs), (self.batch,), generator=generator)
        pictures, labels = self._of(self.pairs, chosen)
        if self.pairs.mirror:
            half = self.batch // 2
            pictures = torch.cat([pictures[:half], pictures[half:].flip(3)])
            labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(pictures), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Pictures, their label maps, the network's."""
        pictures, labels = self._of(self.shown, torch.arange(min(SHEET_COLUMNS, len(self.shown))))
        read = self.average(pictures).argmax(1)
        height, width = pictures.shape[2:]
        cell = max(CELL, height)
        painted = [paint_labels(maps, self.palette) for maps in (labels, read)]
        return contact_sheet([pictures, *painted], (cell, cell * width // height))

    def _of(self, pairs: PicturePairs, chosen: Tensor) -> tuple[Tensor, Tensor]:
        pictures, _ = pairs.batch(chosen, self.device)
        return pictures, pairs.labels[chosen].to(self.device)
