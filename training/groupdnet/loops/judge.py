"""Training of the judge of a pack that has images of its own: images that nothing else uses -> label maps."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.reading import disturbed
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer


class PairJudgeTrainer(PairSegmenterTrainer):
    """See the module's text; right are the label maps that came with the images."""

    name = "judge"

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pairs, some of them mirrored, in another light."""
        images, labels = self.drawn(generator)
        return self.network(disturbed(images, generator)), labels
