"""Sketches drawn from images and label maps: what their reader trains on, and what it is measured with.

Ink runs from 0 to 1 here, and from 0 to 255 at the edge. Three ways to draw: lines where an image is darker
or brighter than its surroundings (difference of Gaussians), thin lines along its edges (Canny's
non-maximum suppression on Sobel gradients), and clean outlines of a label map, as people draw. For training
they are varied: width, gaps, trembling, faint or hard ink. On large images pens are wider in pixels: they are
drawn on a reduced one, of a size that varies with the pen, and enlarged.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.conditions.readers import FULL_INK

PENS = (64, 128, 256)
"""Sides that images are reduced to before they are drawn: a line of one pixel there is the thinnest."""
FINE_PEN = 128
"""The one of them that sketches are measured with."""
SCALE = 1.0
"""Standard deviation in pixels of the narrower Gaussian."""
SCALE_RATIO = 1.6
LUMINANCE = (0.299, 0.587, 0.114)
TREMBLE = 1.2
"""Largest displacement of a trembling line, in pixels."""
TREMBLE_CELLS = 6
GAP_CELLS = 10
MOST_GAPS = 0.35
"""Largest share of a sketch that is left out."""


def as_sketches(ink: Tensor) -> Tensor:
    """Ink, float `[B, H, W]` from 0 to 1, as it is served: uint8 from 0 to 255."""
    return (ink * FULL_INK).round().to(torch.uint8)


def difference_of_gaussians(
    images: Tensor, scale: float = SCALE, threshold: float = 0.35, gain: float = 1.2
) -> Tensor:
    """Lines where images `[B, 3, H, W]` differ from their surroundings: ink `[B, H, W]`.

    Args:
        images: in any range; dark ones get as much ink as bright ones.
        scale: standard deviation in pixels of the narrower Gaussian.
        threshold: differences without ink, in standard deviations of the image's differences.
        gain: ink for each standard deviation beyond that.
    """
    grey = _grey(images)
    difference = (_blur(grey, scale) - _blur(grey, scale * SCALE_RATIO)).abs()[:, 0]
    spread = difference.std((1, 2), keepdim=True).clamp(min=1e-6)
    return ((difference / spread - threshold) * gain * 0.5).clamp(0, 1)


def edges(images: Tensor, scale: float = SCALE, threshold: float = 0.8) -> Tensor:
    """Lines of one pixel along the edges of images `[B, 3, H, W]`: ink `[B, H, W]`, 0 or 1.

    Args:
        images: in any range.
        scale: standard deviation in pixels of the Gaussian before.
        threshold: of the gradient, in means of the image's gradients.
    """
    grey = _blur(_grey(images), scale)
    sobel = grey.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([sobel, sobel.T])[:, None]
    x, y = F.conv2d(F.pad(grey, (1, 1, 1, 1), "replicate"), kernels).unbind(1)
    size = torch.hypot(x, y)
    around = F.pad(size, (1, 1, 1, 1))
    height, width = size.shape[1:]

    def beside(rows: int, columns: int) -> Tensor:
        return around[:, 1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    # Of the four directions that a gradient can have among pixels, the nearest.
    angle = torch.atan2(y, x) / torch.pi * 4
    direction = angle.round().long() % 4
    ridge = torch.zeros_like(size, dtype=torch.bool)
    for index, (rows, columns) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        highest = (size >= beside(rows, columns)) & (size > beside(-rows, -columns))
        ridge |= (direction == index) & highest
    strong = size > threshold * size.mean((1, 2), keepdim=True)
    return (ridge & strong).float()


def outlines(labels: Tensor) -> Tensor:
    """Lines of one pixel where the classes of label maps `[B, H, W]` meet: ink `[B, H, W]`, 0 or 1."""
    right = F.pad((labels[:, :, 1:] != labels[:, :, :-1]).float(), (0, 1))
    below = F.pad((labels[:, 1:] != labels[:, :-1]).float(), (0, 0, 0, 1))
    return torch.maximum(right, below)


def fine_sketches(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Ink `[B, H, W]` as sketches are measured with: lines of images, and outlines of label maps.

    Args:
        images: `[B, 3, H, W]` in [-1, 1].
        labels: their label maps, `[B, H, W]`.
    """
    side = images.shape[-1]
    small, small_labels = _reduced(images, labels, min(side, FINE_PEN))
    return _enlarged(difference_of_gaussians(small), side), _enlarged(outlines(small_labels), side)


def any_sketches(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """A sketch of each image in a way of its own, varied as hands and filters vary.

    Args:
        images: `[B, 3, H, W]` in [-1, 1].
        labels: their label maps, `[B, H, W]`.
        generator: of all that is drawn at random, on the CPU.

    Returns:
        uint8 `[B, H, W]`.
    """
    side = images.shape[-1]
    pens = [pen for pen in PENS if pen <= side] or [side]
    pen = pens[int(torch.randint(len(pens), (), generator=generator))] if len(pens) > 1 else pens[0]
    return as_sketches(_enlarged(_any_ink(*_reduced(images, labels, pen), generator), side))


def _reduced(images: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Images and label maps at another, smaller size."""
    scale = images.shape[-1] // side
    if scale <= 1:
        return images, labels
    return F.avg_pool2d(images.float(), scale), labels[:, scale // 2 :: scale, scale // 2 :: scale]


def _enlarged(ink: Tensor, side: int) -> Tensor:
    if ink.shape[-1] == side:
        return ink
    return F.interpolate(ink[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]


def _any_ink(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Ink of `any_sketches`, `[B, H, W]` from 0 to 1."""
    count, device = len(images), images.device

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, generator=generator) * (high - low) + low).to(device)

    scale, threshold = (float(draw(*bounds)[0]) for bounds in ((0.7, 1.5), (0.2, 0.7)))
    by_difference = difference_of_gaussians(images, scale, threshold)
    by_edges = edges(images, scale, 1 + threshold)
    by_labels = outlines(labels)
    details = torch.maximum(by_labels, 0.6 * by_difference)
    way = draw(0, 1, 1, 1)
    ink = torch.where(way < 0.3, by_difference, by_labels)
    ink = torch.where((way >= 0.3) & (way < 0.5), by_edges, ink)
    ink = torch.where((way >= 0.5) & (way < 0.6), details, ink)
    ink = _trembled(ink, draw(-1, 1, 2, TREMBLE_CELLS, TREMBLE_CELLS) * draw(0, TREMBLE, 1, 1, 1))
    ink = _widened(ink, draw(0, 1, 1, 1), lines=(way >= 0.3) & ~((way >= 0.5) & (way < 0.6)))
    ink = ink * (1 - _gaps(ink, draw(0, 1, 1, GAP_CELLS, GAP_CELLS), draw(0, MOST_GAPS)))
    hard = (ink > 0.4).float()
    ink = torch.where(draw(0, 1, 1, 1) < 0.25, hard, ink * draw(0.5, 1.2, 1, 1))
    return ink.clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    weights = images.new_tensor(LUMINANCE)[None, :, None, None]
    return (images.float() * weights).sum(1, keepdim=True)


def _blur(planes: Tensor, scale: float) -> Tensor:
    """Gaussian blur of `[B, 1, H, W]`."""
    radius = max(1, round(3 * scale))
    offsets = torch.arange(-radius, radius + 1, device=planes.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / scale) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(planes, (radius, radius, radius, radius), "replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])


def _trembled(ink: Tensor, shifts: Tensor) -> Tensor:
    """Ink displaced by smooth shifts `[B, 2, c, c]`, in pixels."""
    side = ink.shape[-1]
    flow = F.interpolate(shifts, size=ink.shape[1:], mode="bicubic", align_corners=True)
    identity = torch.eye(2, 3, device=ink.device).expand(len(ink), 2, 3)
    grid = F.affine_grid(identity, [len(ink), 1, *ink.shape[1:]], align_corners=False)
    grid = grid + flow.permute(0, 2, 3, 1) * (2 / side)
    moved = F.grid_sample(ink[:, None], grid, mode="bilinear", align_corners=False)
    return moved[:, 0]


def _widened(ink: Tensor, which: Tensor, lines: Tensor) -> Tensor:
    """Lines about 1, 1.5, 2 or 3 pixels wide, by `which` from 0 to 1; what is not of `lines` stays."""
    doubled = F.interpolate(ink[:, None], scale_factor=2.0, mode="bilinear", align_corners=False)
    doubled = (doubled * 1.5).clamp(0, 1)
    result = ink
    for least, size in ((0.35, 1), (0.5, 3), (0.9, 5)):
        wide = F.avg_pool2d(F.max_pool2d(doubled, size, 1, size // 2), 2)[:, 0]
        result = torch.where(which >= least, wide, result)
    return torch.where(lines, result, ink)


def _gaps(ink: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Smooth spots, 0 or 1, that cover about a share `[B]` of `[B, H, W]`; half of all sketches have none."""
    spots = F.interpolate(noise, size=ink.shape[1:], mode="bicubic", align_corners=True)[:, 0]
    wanted = (2 * share - MOST_GAPS).clamp(min=0)
    cells = noise.flatten(1)
    bounds = [torch.quantile(one, float(part)) for one, part in zip(cells, wanted, strict=True)]
    return (spots < torch.stack(bounds)[:, None, None]).float()
