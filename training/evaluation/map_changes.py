"""Another label map, the same looks: what changes away from the part of the map that was edited.

Codes of an image are kept and its map is edited by rule: a style's region grows, shrinks, or goes and what
is beside it takes its place. What lies away from the edit should stay as it is. Beside what is served stands
the same network with codes as the encoder gives them, no expectation taken off or added. Regions are fitted
to grow and go, too (`codes.expectation`), but not to shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from training.groupdnet.codes.encoding import MIN_PIXELS
from training.groupdnet.codes.expectation import RelativeGroupDNet
from training.groupdnet.codes.map_edits import Labels, Region, grown, removed, shrunk
from training.networks.one_hot import one_hot

GROWTH, SHRINKING, MARGIN = 5 / 64, 2 / 64, 4 / 64
"""Of an image's height: how far a region grows and shrinks, and how far from the edit "away" begins."""


@dataclass(frozen=True, slots=True)
class MapChange:
    """What an edit of the map changes away from it; L1 of images from 0 to 1, mean over maps.

    Attributes:
        maps: on how many.
        served: with the pack's codes.
        plain: with codes as the encoder gives them.
    """

    maps: int
    served: float
    plain: float


EDITS: Mapping[str, Callable[[Labels, Region], Labels]] = MappingProxyType(
    {
        "grown": partial(grown, growth=GROWTH),
        "shrunk": partial(shrunk, growth=SHRINKING),
        "removed": removed,
    }
)


def away_from(before: Labels, after: Labels) -> Region:
    """Pixels farther from every edited one than the margin."""
    edited = before != after
    if not edited.any():
        return np.zeros(before.shape, bool)
    far: Region = ndimage.distance_transform_edt(~edited) > MARGIN * len(before)
    return far


@torch.inference_mode()
def measure_map_changes(
    network: RelativeGroupDNet, images: Tensor, labels: Labels, names: tuple[str, ...], classes: int
) -> dict[str, MapChange]:
    """Of each style grown, shrunk and removed, "hair, grown" and so on, and the mean over styles of each.

    Args:
        network: the pack's.
        images: float `[N, 3, H, W]` in [-1, 1].
        labels: their maps, uint8 `[N, H, W]`.
        names: of the styles.
        classes: number of classes.
    """
    networks = network, RelativeGroupDNet(network.network, None)
    sums: dict[str, NDArray[np.float64]] = {}
    for image, own in zip(images, labels, strict=True):
        maps = one_hot(torch.from_numpy(own[None]), classes)
        regions = network.style_maps(maps)[0].bool().numpy()
        codes = [each.encode(image[None], maps)[0] for each in networks]
        plain = [each(some, maps) for each, some in zip(networks, codes, strict=True)]
        for style, name in enumerate(names):
            if regions[style].sum() < MIN_PIXELS:
                continue
            for edit, change in EDITS.items():
                wished = change(own, regions[style])
                away = torch.from_numpy(away_from(own, wished))
                if int(away.sum()) < MIN_PIXELS:
                    continue
                told = one_hot(torch.from_numpy(wished[None]), classes)
                apart = [
                    float((each(some, told) - before).abs().mean(1)[0][away].mean()) / 2
                    for each, some, before in zip(networks, codes, plain, strict=True)
                ]
                key = f"{name}, {edit}"
                sums[key] = sums.get(key, np.zeros(3)) + np.array([1, *apart])
    keys = [f"{name}, {edit}" for name in names for edit in EDITS]
    found = {
        key: MapChange(int(sums[key][0]), *(sums[key][1:] / sums[key][0]).tolist())
        for key in keys
        if key in sums
    }
    for edit in EDITS:
        of_edit = [change for key, change in found.items() if key.endswith(f", {edit}")]
        if of_edit:
            means = [
                float(np.mean([getattr(each, kind) for each in of_edit])) for kind in ("served", "plain")
            ]
            found[f"mean, {edit}"] = MapChange(sum(each.maps for each in of_edit), *means)
    return found


def as_markdown(changes: Mapping[str, MapChange]) -> str:
    """A table."""
    lines = [
        "Another label map, the same codes: change away from the edited part (L1 of 1):",
        "",
        "| | maps | as served | without expectation |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {change.maps} | {change.served:.4f} | {change.plain:.4f} |"
        for name, change in changes.items()
    ]
    return "\n".join(lines)
