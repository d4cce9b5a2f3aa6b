"""The encoder's input: each class's part of the image, cut out and enlarged to one size.

GroupDNet's code cuts with loops and `nonzero`, which no exported graph can hold. Here bounding boxes come
from maxima over rows and columns, and cutting with resizing is two matrix products a class: every step has a
fixed shape.
"""

from __future__ import annotations

import torch
from torch import Tensor


def class_crops(
    images: Tensor, maps: Tensor, side: int, smooth: bool = True, width: int | None = None
) -> Tensor:
    """Cut every class's bounding box out of an image, black outside of the class.

    Args:
        images: float `[B, 3, H, W]` in [-1, 1].
        maps: one-hot float `[B, C, H, W]`.
        side: rows of a crop.
        smooth: interpolate linearly; else take the nearest pixel, as the published code.
        width: columns of a crop; None: as many.

    Returns:
        Float `[B, C * 4, side, width]`: of each class the masked image's three channels and the mask. All
        zero where the class is absent.
    """
    batch, classes = maps.shape[:2]
    planes = torch.cat([images[:, None] * maps[:, :, None], maps[:, :, None]], 2)
    rows = sampling_matrix(maps.amax(3), side, smooth)
    columns = sampling_matrix(maps.amax(2), width or side, smooth)
    crops = rows[:, :, None] @ planes @ columns[:, :, None].transpose(3, 4)
    return crops.reshape(batch, classes * 4, side, width or side)


def sampling_matrix(occupied: Tensor, side: int, smooth: bool = True) -> Tensor:
    """Weights that stretch the occupied stretch of an axis to `side` places.

    Args:
        occupied: `[B, C, N]`, 1 where a class has a pixel in this row or column, else 0.
        side: places wanted.
        smooth: linear interpolation, else nearest (the pixel at floor(i * length / side), as PyTorch does).

    Returns:
        Float `[B, C, side, N]`; each row adds up to 1, or to 0 where the class is absent.
    """
    count = occupied.shape[2]
    places = torch.arange(count, dtype=occupied.dtype, device=occupied.device)
    # Unoccupied places are moved out of the way of the minimum and the maximum.
    first = (places + count * (1 - occupied)).amin(2)[:, :, None]
    last = (places - count * (1 - occupied)).amax(2)[:, :, None]
    length = last - first + 1
    steps = torch.arange(side, dtype=occupied.dtype, device=occupied.device)
    if smooth:
        centres = first + (steps + 0.5) * length / side - 0.5
        centres = torch.minimum(torch.maximum(centres, first), last)
        weights = (1 - (centres[..., None] - places).abs()).clamp(min=0)
    else:
        chosen = first + (steps * length / side).floor()
        weights = ((chosen[..., None] - places).abs() < 0.5).to(occupied.dtype)
    return weights * occupied.amax(2)[:, :, None, None]
