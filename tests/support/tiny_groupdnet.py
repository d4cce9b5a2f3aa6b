"""A tiny network of GroupDNet, and label maps for it."""

from __future__ import annotations

from typing import Any

import torch

from training.groupdnet.codes.expectation import RelativeGroupDNet
from training.groupdnet.network_config import BlockSection, EncoderSection, NetworkSection
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.one_hot import one_hot


def tiny(**changes: Any) -> NetworkSection:
    settings: dict[str, Any] = {
        "classes": 4,
        "style_classes": (0, 1, 2, 1),
        "class_order": (2, 0, 3, 1),
        "code": 3,
        "code_side": 1,
        "start": 16,
        "blocks": tuple(BlockSection(width=16, groups=groups, hidden=8) for groups in (4, 2, 1)),
        "map_resize": "area",
        "spectral": False,
        "fold": 2,
        "encoder": EncoderSection(side=16, planes=4, widths=(4, 8), norm="group", spectral=False),
    }
    return NetworkSection.model_validate(settings | changes)


def quarters(batch: int, side: int = 32) -> torch.Tensor:
    """Maps with a class in each quarter."""
    ids = torch.arange(4).view(2, 2).repeat_interleave(side // 2, 0).repeat_interleave(side // 2, 1)
    return one_hot(ids.expand(batch, -1, -1), 4)


def relative(network: GroupDNet) -> RelativeGroupDNet:
    """With nothing to be expected."""
    return RelativeGroupDNet(network, None)


def shifted_pairs(count: int) -> ImagePairs:
    """Bands of classes whose place, brightness and all decide on the image's brightness, up to noise."""
    places = torch.randint(0, 17, (count,))
    rows = torch.arange(32)[None, :, None]
    labels = (rows >= places[:, None, None]).byte().expand(-1, -1, 32).clone()
    labels[:, 24:] = 2
    brightness = 40 + 10 * places.float() + 5 * torch.randn(count)
    images = brightness[:, None, None, None].expand(-1, 3, 32, 32).clamp(0, 255).byte()
    return ImagePairs(images, labels, 4)
