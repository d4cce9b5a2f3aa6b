"""Training of the label segmenter of a pack that has images of its own: images -> label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor, nn

from training.config.palette import Palette
from training.config.sections import ClassifierSection
from training.data.contact_sheets import contact_sheet, paint_labels
from training.groupdnet.samples import ImagePairs
from training.runs.classifier import ClassifierTrainer

EMA_DECAY = 0.995
SHEET_COLUMNS = 16


class PairSegmenterTrainer(ClassifierTrainer):
    """See the module's text; right are the label maps that came with the images."""

    name = "label_segmenter"

    def __init__(
        self,
        network: nn.Module,
        section: ClassifierSection,
        pairs: ImagePairs,
        palette: Palette,
        device: torch.device,
        shown: ImagePairs | None = None,
    ) -> None:
        """Args: `pairs` to train on; `shown`, held out, to draw on contact sheets, None: the same."""
        super().__init__(network, section, EMA_DECAY, device)
        self.pairs, self.palette, self.shown = pairs, palette, shown or pairs

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pairs, some of them mirrored."""
        images, labels = self.drawn(generator)
        return self.network(images), labels

    def drawn(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images `[B, 3, H, W]` in [-1, 1] and maps `[B, H, W]`; half are mirrored, where that is allowed."""
        chosen = torch.randint(len(self.pairs), (self.batch,), generator=generator)
        images, labels = self._of(self.pairs, chosen)
        if self.pairs.mirror:
            half = self.batch // 2
            images = torch.cat([images[:half], images[half:].flip(3)])
            labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return images, labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Images, their label maps, the network's."""
        images, labels = self._of(self.shown, torch.arange(min(SHEET_COLUMNS, len(self.shown))))
        read = self.average(images).argmax(1)
        return contact_sheet([images, *(paint_labels(maps, self.palette) for maps in (labels, read))])

    def _of(self, pairs: ImagePairs, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images, _ = pairs.batch(chosen, self.device)
        return images, pairs.labels[chosen].to(self.device)
