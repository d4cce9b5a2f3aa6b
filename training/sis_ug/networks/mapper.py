"""The semantic mapper: a label map and the source's proxy histogram in, a target proxy mask out.

SIS-UG's mapper closes the gap between what people label and what the generator's features cluster into.
Clusters know light and texture as well as parts, so one label map has many fitting proxy masks: which
clusters to use is told by the *histogram* of the source's own proxy mask, times a *style strength* in [0, 1].
Without it every face gets the commonest clusters (ours; the paper's mapper sees the condition alone).
"""

from __future__ import annotations

from torch import Tensor, nn

from training.networks.one_hot import one_hot
from training.networks.unet import FOLD, UNet

HISTOGRAM_GAIN = 2.0


class LabelMapMapper(nn.Module):
    """Label maps to proxy logits.

    Args:
        classes: number of label classes.
        clusters: number of proxy clusters K.
        widths: channels of the U-Net's levels.
        fold: pixels per side of a label map for each cell of a proxy mask.
    """

    def __init__(self, classes: int, clusters: int, widths: tuple[int, ...], fold: int = FOLD) -> None:
        super().__init__()
        self.classes = classes
        self.network = UNet(classes, clusters, widths, context=clusters, fold=fold)

    def forward(self, labels: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """Proxy logits `[B, K, m, m]`.

        Args:
            labels: class ids `[B, fold*m, fold*m]`, any integer dtype.
            histogram: share of each cluster in the source's proxy mask, float `[B, K]`, rows summing to 1.
            strength: style strength, float `[B, 1]` in [0, 1].
        """
        context = HISTOGRAM_GAIN * histogram.clamp(min=0).sqrt() * strength
        logits: Tensor = self.network(one_hot(labels, self.classes), context)
        return logits


def proxy_histogram(masks: Tensor, clusters: int) -> Tensor:
    """Share of each cluster, float `[B, K]`, in proxy masks, int `[B, m, m]`."""
    return one_hot(masks, clusters).mean((2, 3))


def straight_through_argmax(logits: Tensor) -> Tensor:
    """Each cell's likeliest id, one-hot, with the softmax's gradient: `[B, K, m, m]`, as the logits."""
    soft = logits.softmax(1)
    return one_hot(soft.argmax(1), logits.shape[1]) + soft - soft.detach()
