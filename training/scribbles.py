"""Scribbles cut from label maps: what the completer trains on, and what it is measured with.

A few strokes for each region: curves from one point of it to another, arcs along its outline, dabs. Careful
strokes stay inside their region; sloppy ones overshoot it by some pixels. Some classes may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from training.readers import NOT_DRAWN

Labels = NDArray[np.uint8]
Region = NDArray[np.bool_]

WIDEST_ARC = 3
MAX_STROKES = 120
CURVE_POINTS = 12
MIN_PIXELS = 4
"""Parts of fewer pixels than this are flaws of the label map, and nobody draws them."""
FEW_PIXELS = 30
"""Regions of fewer pixels than this, like an eye, are dabbed more often than lined."""


@dataclass(frozen=True, slots=True)
class Hand:
    """How somebody scribbles.

    Attributes:
        coverage: lowest and highest share of pixels drawn on.
        widths: thinnest and thickest stroke, in pixels of the label map.
        sloppy: share of strokes that overshoot their region.
        overshoot: by how many pixels at most.
        left_out: share of classes that get no stroke.
    """

    coverage: tuple[float, float]
    widths: tuple[int, int]
    sloppy: float = 0.0
    overshoot: int = 3
    left_out: float = 0.0


ANY_HAND = Hand(coverage=(0.01, 0.3), widths=(1, 5), sloppy=0.4, left_out=0.15)
"""What the completer trains on."""
CAREFUL = Hand(coverage=(0.12, 0.12), widths=(1, 3))
"""Every class drawn, no stroke outside its region."""
SLOPPY = Hand(coverage=(0.06, 0.06), widths=(1, 4), sloppy=0.7, left_out=0.15)


def scribbles(labels: Labels, hand: Hand, random: np.random.Generator) -> Labels:
    """Scribbles of label maps `[N, H, W]`: class ids, `NOT_DRAWN` where there is no stroke."""
    return np.stack([_scribble(one, hand, random) for one in labels])


def _scribble(labels: Labels, hand: Hand, random: np.random.Generator) -> Labels:
    ids = np.unique(labels)
    kept = ids[random.random(len(ids)) >= hand.left_out]
    if not len(kept):
        kept = ids[:1]
    low, high = np.log(hand.coverage)
    wanted = np.exp(random.uniform(low, high)) * labels.size
    regions = {int(one): labels == one for one in kept}
    drawn = np.full(labels.shape, NOT_DRAWN, np.uint8)
    # First one stroke for each part, as people do; then more where most is left to draw.
    for one, region in sorted(regions.items(), key=lambda pair: -int(pair[1].sum())):
        parts, count = ndimage.label(region)
        for part in range(1, count + 1):
            shape = parts == part
            if shape.sum() >= MIN_PIXELS and (drawn != NOT_DRAWN).sum() < wanted:
                _stroke(drawn, shape, one, hand, random)
    for _ in range(MAX_STROKES):
        if (drawn != NOT_DRAWN).sum() >= wanted:
            break
        left = np.array([(region & (drawn == NOT_DRAWN)).sum() for region in regions.values()], float)
        if not left.any():
            break
        one = list(regions)[random.choice(len(left), p=left**0.7 / (left**0.7).sum())]
        _stroke(drawn, regions[one], one, hand, random)
    return drawn


def _stroke(drawn: Labels, region: Region, one: int, hand: Hand, random: np.random.Generator) -> None:
    """Draw one stroke of a class."""
    width = int(random.integers(hand.widths[0], hand.widths[1] + 1))
    rows, columns = np.nonzero(region)
    small = len(rows) < FEW_PIXELS
    kind = random.choice(3, p=(0.4, 0.1, 0.5) if small else (0.65, 0.25, 0.1))
    if kind == 0:
        ends = random.integers(len(rows), size=2)
        stroke = _curve(region.shape, columns[ends], rows[ends], width, random)
    elif kind == 1:
        stroke = _arc(region, width, random)
    else:
        middle = int(random.integers(len(rows)))
        x, y = (columns.mean(), rows.mean()) if small else (columns[middle], rows[middle])
        stroke = _dab(region.shape, x, y, width)
    if random.random() >= hand.sloppy:
        stroke &= region
    else:
        stroke &= ndimage.binary_dilation(region, iterations=int(random.integers(1, hand.overshoot + 1)))
    drawn[stroke] = one


def _curve(
    shape: tuple[int, ...],
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    width: int,
    random: np.random.Generator,
) -> Region:
    """A quadratic Bezier curve between two points, bent by up to half its length."""
    length = float(np.hypot(*(np.diff(x), np.diff(y)))[0])
    bend = random.normal(0, 0.25 * length + 0.5, 2)
    middle = np.array([x.mean(), y.mean()]) + bend
    t = np.linspace(0, 1, CURVE_POINTS)[:, None]
    start, end = np.array([x[0], y[0]]), np.array([x[1], y[1]])
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    image = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(image).line([*map(tuple, points.tolist())], fill=1, width=width, joint="curve")
    return np.array(image)


def _arc(region: Region, width: int, random: np.random.Generator) -> Region:
    """A stretch of a line along the region's outline, some pixels inside it."""
    depth = ndimage.distance_transform_edt(region)
    inside = random.uniform(0, max(1.0, 0.5 * float(depth.max())))
    rows, columns = np.nonzero(region)
    y, x = np.indices(region.shape)
    angle = np.arctan2(y - rows.mean(), x - columns.mean()) + np.pi
    begin, extent = random.uniform(0, 2 * np.pi), random.uniform(0.5, 2 * np.pi)
    near = (depth > inside) & (depth <= inside + min(width, WIDEST_ARC))
    line: Region = near & ((angle - begin) % (2 * np.pi) < extent)
    return line


def _dab(shape: tuple[int, ...], x: float, y: float, width: int) -> Region:
    rows, columns = np.indices(shape)
    dab: Region = np.hypot(rows - y, columns - x) <= max(0.8, 0.8 * width)
    return dab
