"""Label maps on disk: a split's samples in parts, each a file that is written whole or not at all.

Maps are packed one by one, so that a split of large ones is held in memory packed, and a training step
unpacks no more than its batch. Maps that fit are held plain.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PART_BYTES = 256 << 20
"""Of the images of one part, which are in memory together."""
PART_SAMPLES = 2048
"""At most, so that a run that is killed loses little."""
PLAIN_BYTES = 1 << 30
"""Of a split's label maps; larger ones stay packed."""
FASTEST = 1


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of a split's samples.

    Attributes:
        made_by: what their label maps depend on, besides the seeds.
        seeds: int64 `[N]`.
        detected: bool `[N]`; false where the labeller found nothing.
        packed: each sample's label map, uint8 `[side, side]`, compressed by zlib.
        side: pixels per side of a label map.
    """

    made_by: str
    seeds: NDArray[np.int64]
    detected: NDArray[np.bool_]
    packed: Sequence[bytes]
    side: int


class PackedLabels:
    """Label maps `[N, side, side]` that are unpacked when they are asked for.

    Args:
        packed: as in `Part`.
        side: pixels per side.
    """

    def __init__(self, packed: Sequence[bytes], side: int) -> None:
        self._packed, self.side = packed, side

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, chosen: Tensor | NDArray[np.int64] | slice) -> Tensor:
        """Those of the indices given, uint8 `[n, side, side]`."""
        indices = range(len(self))[chosen] if isinstance(chosen, slice) else chosen.tolist()
        maps = torch.empty(len(indices), self.side, self.side, dtype=torch.uint8)
        for row, index in zip(maps.numpy(), indices, strict=True):
            row[...] = np.frombuffer(zlib.decompress(self._packed[index]), np.uint8).reshape(row.shape)
        return maps


def pack(labels: NDArray[np.uint8]) -> list[bytes]:
    """Label maps `[N, side, side]`, each compressed."""
    return [zlib.compress(np.ascontiguousarray(one).tobytes(), FASTEST) for one in labels]


def held(packed: Sequence[bytes], side: int) -> Tensor | PackedLabels:
    """Label maps as they are held in memory: plain where that takes at most `PLAIN_BYTES`."""
    labels = PackedLabels(packed, side)
    return labels if len(labels) * side * side > PLAIN_BYTES else labels[:]


def part_seeds(seeds: range, side: int) -> list[range]:
    """A split's seeds by parts.

    Args:
        seeds: of the split.
        side: pixels per side of an image.
    """
    size = max(1, min(PART_SAMPLES, PART_BYTES // (3 * side * side)))
    return [seeds[first : first + size] for first in range(0, len(seeds), size)]


def part_path(folder: Path, index: int) -> Path:
    """Where a part is kept in its split's folder."""
    return folder / f"{index:05d}.npz"


def write_part(path: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        made_by=part.made_by,
        seeds=part.seeds,
        detected=part.detected,
        side=part.side,
        lengths=np.array([len(one) for one in part.packed], np.int64),
        packed=np.frombuffer(b"".join(part.packed), np.uint8),
    )
    partial.replace(path)


def read_part(path: Path) -> Part:
    """Read a part.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with np.load(path) as stored:
            ends = np.cumsum(stored["lengths"])
            content = stored["packed"].tobytes()
            packed = [
                content[end - length : end] for end, length in zip(ends, stored["lengths"], strict=True)
            ]
            return Part(
                str(stored["made_by"]), stored["seeds"], stored["detected"], packed, int(stored["side"])
            )
    except Exception as error:  # what is wrong with a damaged archive shows in any way
        raise ValueError(f"{path} is damaged ({type(error).__name__}): remove it, and make it anew") from None


def read_parts(folder: Path) -> Iterator[Part]:
    """All parts of a split, in order.

    Raises:
        ValueError: as `read_part`.
    """
    for path in sorted(folder.glob("[0-9]*[0-9].npz")):
        yield read_part(path)
