"""Palettes: between label maps, which models read, and coloured images, which people paint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave_client._files import FILES, File, opened, upright

NOT_DRAWN = 255
_HALF_OPAQUE = 128


@dataclass(frozen=True)
class PaletteEntry:
    """One class of a palette.

    Attributes:
        id: Value of its pixels in a label map.
        name: For programs.
        title: For people.
        color: `#rrggbb`.
    """

    id: int
    name: str
    title: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue, each 0 to 255."""
        red, green, blue = bytes.fromhex(self.color[1:])
        return red, green, blue


@dataclass(frozen=True)
class Palette:
    """The classes of a model; iterates over them.

    Attributes:
        entries: The classes, ordered by id.
    """

    entries: tuple[PaletteEntry, ...]

    def __iter__(self) -> Iterator[PaletteEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def by_name(self, name: str) -> PaletteEntry:
        """The class of a name.

        Raises:
            KeyError: There is none.
        """
        for entry in self:
            if entry.name == name:
                return entry
        raise KeyError(f"{name!r} is not in the palette: {', '.join(entry.name for entry in self)}")

    def label_map(self, image: Image.Image | NDArray[np.uint8] | File) -> NDArray[np.uint8]:
        """Read an image painted in the palette's colours.

        Args:
            image: An image, RGB uint8 `[height, width, 3]`, or a file: its bytes or its path. Every pixel has
                exactly the colour of a class. Images and files are turned as their Exif orientation says.

        Returns:
            Class ids, uint8 `[height, width]`.

        Raises:
            ValueError: A pixel has another colour (soft edges, for example), or the shape is wrong.
            OSError: The file cannot be read.
        """
        rgb = _pixels("image", image, "RGB")
        return self._ids(rgb, np.ones(rgb.shape[:2], np.bool_))

    def scribble(self, image: Image.Image | NDArray[np.uint8] | File) -> NDArray[np.uint8]:
        """Read an image in which only some pixels are painted, in the palette's colours.

        Args:
            image: An image, RGBA uint8 `[height, width, 4]`, or a file: its bytes or its path. Every pixel
                has exactly the colour of a class, or is more transparent than not, which stands for not
                painted. Images and files are turned as their Exif orientation says.

        Returns:
            Class ids, and 255 where nothing is painted, uint8 `[height, width]`: a scribble.

        Raises:
            ValueError: A painted pixel has another colour, or the shape is wrong.
            OSError: The file cannot be read.
        """
        rgba = _pixels("image", image, "RGBA")
        return self._ids(rgba[..., :3], rgba[..., 3] >= _HALF_OPAQUE)

    @overload
    @staticmethod
    def resize(label_map: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]: ...

    @overload
    @staticmethod
    def resize(label_map: Image.Image, width: int, height: int) -> Image.Image: ...

    @staticmethod
    def resize(
        label_map: NDArray[np.uint8] | Image.Image, width: int, height: int
    ) -> NDArray[np.uint8] | Image.Image:
        """Resize a label map or a scribble as the service does, without making classes that were not there.

        Each new pixel takes the pixel that its centre lies in. A smooth filter, the default of most programs,
        mixes ids or colours along the edges: between class 2 and class 6 it leaves class 4.

        Args:
            label_map: Class ids `[height, width]`, an image of ids or of the palette's colours (any mode,
                also with transparency), or an array of such colours `[height, width, channels]`.
            width: Width of the result in pixels.
            height: Its height.

        Returns:
            The same kind: an array of the same dtype, or an image of the same mode and palette, upright.

        Raises:
            ValueError: A size is not at least 1, or there are no pixels.
            TypeError: It is neither an image nor an array.
        """
        if isinstance(label_map, Image.Image):
            image = upright(label_map)
            return _sampled_image(image, *_places((image.width, image.height), width, height))
        if isinstance(label_map, np.ndarray) and label_map.ndim in (2, 3):
            columns, rows = _places((label_map.shape[1], label_map.shape[0]), width, height)
            return label_map[rows[:, None], columns]
        raise TypeError(
            f"label_map: got {type(label_map).__name__}; allowed: a PIL image or an array [height, width] or "
            "[height, width, channels]"
        )

    def _ids(self, rgb: NDArray[np.uint8], painted: NDArray[np.bool_]) -> NDArray[np.uint8]:
        codes = _codes(rgb)
        entries = sorted(self, key=lambda entry: int(_codes(np.array(entry.rgb, np.uint8))))
        known = np.array([int(_codes(np.array(entry.rgb, np.uint8))) for entry in entries])
        nearest = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        fits = (known[nearest] == codes) | ~painted
        if not fits.all():
            y, x = np.unravel_index(int(fits.argmin()), fits.shape)
            red, green, blue = (int(value) for value in rgb[y, x])
            allowed = ", ".join(f"{entry.color} {entry.name}" for entry in self)
            raise ValueError(
                f"image: got #{red:02x}{green:02x}{blue:02x} at pixel (x={x}, y={y}); allowed: {allowed}"
            )
        ids = np.array([entry.id for entry in entries], np.uint8)[nearest]
        ids[~painted] = NOT_DRAWN
        return ids

    def color_image(self, label_map: NDArray[np.uint8]) -> Image.Image:
        """Show a label map in the palette's colours.

        Args:
            label_map: Class ids, uint8 `[height, width]`. Ids outside the palette become black.

        Returns:
            A palette image ("P") whose indices are the class ids: `PIL.Image.Image.save` writes a PNG
            that the service takes as it is.
        """
        image = Image.fromarray(np.asarray(label_map, np.uint8))
        colors = np.zeros((256, 3), np.uint8)
        for entry in self:
            colors[entry.id] = entry.rgb
        image.putpalette(colors.tobytes())
        return image


def _pixels(argument: str, image: Image.Image | NDArray[np.uint8] | File, mode: str) -> NDArray[np.uint8]:
    """Pixels of a mode, upright, uint8 `[height, width, channels]`."""
    if isinstance(image, FILES):
        image = opened(argument, image)
    pixels = np.asarray(upright(image).convert(mode) if isinstance(image, Image.Image) else image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != len(mode):
        raise ValueError(
            f"{argument}: got {pixels.dtype} {pixels.shape}; allowed: uint8 [height, width, {len(mode)}]"
        )
    return pixels


def _places(size: tuple[int, int], width: int, height: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each column and row of the result those that its centre lies in: floor((x + 0.5) * old / new)."""
    columns, rows = (
        _places_along(name, old, new)
        for name, old, new in zip(("width", "height"), size, (width, height), strict=True)
    )
    return columns, rows


def _places_along(name: str, old: int, new: int) -> NDArray[np.intp]:
    new = index(new)
    if new < 1 or old < 1:
        raise ValueError(f"{name}: got {new}, of {old}; allowed: at least 1, of at least 1")
    return (2 * np.arange(new, dtype=np.intp) + 1) * old // (2 * new)


def _sampled_image(image: Image.Image, columns: NDArray[np.intp], rows: NDArray[np.intp]) -> Image.Image:
    pixels = np.ascontiguousarray(np.asarray(image)[rows[:, None], columns])
    if image.mode == "1":
        sampled = Image.fromarray(pixels)
    else:  # of the very mode, which fromarray could only guess
        sampled = Image.frombytes(image.mode, (len(columns), len(rows)), pixels.tobytes())
    if image.mode == "P" and image.palette is not None:
        sampled.putpalette(image.palette)
    if "transparency" in image.info:
        sampled.info["transparency"] = image.info["transparency"]
    return sampled


def _codes(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Each colour as one number."""
    wide = rgb.astype(np.int64)
    codes: NDArray[np.int64] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return codes
