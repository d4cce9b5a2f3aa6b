"""Scribbles cut from label maps: what the completer trains on, and what it is measured with.

A few strokes for each region: curves from one point of it to another, lines along its length or its outline,
dabs. Careful strokes stay inside their region; sloppy ones overshoot it by some pixels. Some classes may be
left out. Larger label maps are drawn on as if they were of 64 px, and the same strokes then laid on them,
wider in proportion (`training/conditions/strokes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.conditions.readers import NOT_DRAWN
from training.conditions.strokes import Area, Curve, Dab, Form, Labels, Region, Stroke, lay

WORKING_SIDE = 64
"""Pixels per side that strokes are thought out on; all other sizes here are in these pixels."""
WIDEST_ARC = 3
MAX_STROKES = 120
MIN_PIXELS = 4
"""Parts of fewer pixels than this are flaws of the label map, and nobody draws them."""
FEW_PIXELS = 130
"""Regions of fewer pixels than this, like an eye or a mouth, are dabbed and lined along their length."""
SMALL_STROKE = 8
FIRST_SHARE = 1.5
"""Most of a part that its first stroke covers, over the coverage wanted."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class Hand:
    """How somebody scribbles.

    Attributes:
        coverage: lowest and highest share of pixels drawn on.
        widths: thinnest and thickest stroke, in pixels of a label map of 64 px.
        sloppy: share of strokes that overshoot their region.
        overshoot: by how many such pixels at most.
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
    scale = max(1, len(labels) // WORKING_SIDE)
    small = labels[scale // 2 :: scale, scale // 2 :: scale]
    drawn, strokes = _thought_out(small, hand, random)
    return drawn if scale == 1 else lay(strokes, labels, scale)


def _thought_out(
    labels: Labels, hand: Hand, random: np.random.Generator
) -> tuple[Labels, list[tuple[int, Stroke]]]:
    """The scribble of a small label map, and the strokes that it is made of with their classes."""
    ids = np.unique(labels[labels != NOT_DRAWN])
    kept = ids[random.random(len(ids)) >= hand.left_out]
    if not len(kept):
        kept = ids[:1]
    low, high = np.log(hand.coverage)
    coverage = float(np.exp(random.uniform(low, high)))
    regions = {int(one): labels == one for one in kept}
    drawn = np.full(labels.shape, NOT_DRAWN, np.uint8)
    strokes: list[tuple[int, Stroke]] = []

    def draw(region: Region, one: int, most: float) -> None:
        stroke = _drawn(region, hand, most, random)
        drawn[stroke.mask] = one
        strokes.append((one, stroke))

    # First one stroke for each part, as people do; then more where most is left to draw.
    for one, region in sorted(regions.items(), key=lambda pair: -int(pair[1].sum())):
        parts, count = ndimage.label(region)
        for part in range(1, count + 1):
            shape = parts == part
            if (area := int(shape.sum())) >= MIN_PIXELS:
                draw(shape, one, max(SMALL_STROKE, FIRST_SHARE * coverage * area))
    for _ in range(MAX_STROKES):
        if (budget := coverage * labels.size - (drawn != NOT_DRAWN).sum()) < 1:
            break
        left = np.array([(region & (drawn == NOT_DRAWN)).sum() for region in regions.values()], float)
        if not left.any():
            break
        one = list(regions)[random.choice(len(left), p=left**0.7 / (left**0.7).sum())]
        draw(regions[one], one, budget + SMALL_STROKE)
    return drawn, strokes


def _drawn(region: Region, hand: Hand, most: float, random: np.random.Generator) -> Stroke:
    """A stroke of at most so many pixels; the last try is made as it is."""
    for _ in range(TRIES):
        stroke = _stroke(region, hand, random)
        if 0 < stroke.mask.sum() <= most:
            return stroke
    rows, columns = np.nonzero(region)
    middle = int(random.integers(len(rows)))
    return Stroke(Dab(float(columns[middle]), float(rows[middle]), 1), region)


def _stroke(region: Region, hand: Hand, random: np.random.Generator) -> Stroke:
    width = int(random.integers(hand.widths[0], hand.widths[1] + 1))
    rows, columns = np.nonzero(region)
    small = len(rows) < FEW_PIXELS
    kind = random.choice(4, p=(0.2, 0.05, 0.3, 0.45) if small else (0.4, 0.4, 0.1, 0.1))
    form: Form
    if kind == 0:
        ends = random.integers(len(rows), size=2)
        form = _curve(columns[ends], rows[ends], width, random)
    elif kind == 1:
        form = _arc(region, width, random)
    elif kind == 2:
        middle = int(random.integers(len(rows)))
        x, y = (columns.mean(), rows.mean()) if small else (columns[middle], rows[middle])
        form = Dab(float(x), float(y), width)
    else:
        form = _axis(region, width, random)
    if random.random() >= hand.sloppy:
        return Stroke(form, region)
    down, right = random.integers(-1, 2, 2)
    near: Region = ndimage.binary_dilation(region, iterations=int(random.integers(1, hand.overshoot + 1)))
    return Stroke(form, near, overshoots=True, shift=(int(down), int(right)))


def _curve(
    x: NDArray[Any], y: NDArray[Any], width: int, random: np.random.Generator, bent: float = 0.25
) -> Curve:
    """A quadratic Bezier curve between two points, bent by about that share of its length."""
    length = float(np.hypot(*(np.diff(x), np.diff(y)))[0])
    bend = random.normal(0, bent * length + 0.5, 2)
    middle = np.array([x.mean(), y.mean()]) + bend
    return Curve(np.array([x[0], y[0]], float), middle, np.array([x[1], y[1]], float), width)


def _axis(region: Region, width: int, random: np.random.Generator) -> Curve:
    """A line along the region's length, as a brow or a mouth is drawn."""
    rows, columns = np.nonzero(region)
    points = np.stack([columns, rows], 1).astype(float)
    middle = points.mean(0)
    _, directions = np.linalg.eigh(np.cov((points - middle).T) + 1e-6 * np.eye(2))
    along = (points - middle) @ directions[:, 1]
    ends = middle + np.outer([along.min(), along.max()], directions[:, 1]) * random.uniform(0.6, 1.05)
    ends = ends + random.normal(0, 0.5, 2)
    return _curve(ends[:, 0], ends[:, 1], width, random, bent=0.08)


def _arc(region: Region, width: int, random: np.random.Generator) -> Area:
    """A line along the region's outline, some pixels inside it: all around, or a stretch."""
    depth = ndimage.distance_transform_edt(region)
    inside = random.uniform(0, max(1.0, 0.6 * float(depth.max())))
    rows, columns = np.nonzero(region)
    y, x = np.indices(region.shape)
    angle = np.arctan2(y - rows.mean(), x - columns.mean()) + np.pi
    begin, extent = random.uniform(0, 2 * np.pi), min(random.uniform(0.5, 3 * np.pi), 2 * np.pi)
    near = (depth > inside) & (depth <= inside + min(width, WIDEST_ARC))
    line: Region = near & ((angle - begin) % (2 * np.pi) < extent)
    return Area(line)
