"""Palettes: between label maps, which models read, and coloured pictures, which people paint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NOT_DRAWN = 255
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

    def label_map(self, picture: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Read a picture painted in the palette's colours.

        Args:
            picture: An image, or RGB uint8 `[height, width, 3]`. Every pixel has exactly the colour of
                a class.

        Returns:
            Class ids, uint8 `[height, width]`.

        Raises:
            ValueError: A pixel has another colour (soft edges, for example), or the shape is wrong.
        """
        rgb = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"picture: got {rgb.dtype} {rgb.shape}; allowed: uint8 [height, width, 3]")
        return self._ids(rgb, np.ones(rgb.shape[:2], np.bool_))

    def scribble(self, picture: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Read a picture in which only some pixels are painted, in the palette's colours.

        Args:
            picture: An image, or RGBA uint8 `[height, width, 4]`. Every pixel has exactly the colour of a
                class, or is more transparent than not, which stands for not painted.

        Returns:
            Class ids, and 255 where nothing is painted, uint8 `[height, width]`: a scribble.

        Raises:
            ValueError: A painted pixel has another colour, or the shape is wrong.
        """
        rgba = np.asarray(picture.convert("RGBA") if isinstance(picture, Image.Image) else picture)
        if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4:
            raise ValueError(f"picture: got {rgba.dtype} {rgba.shape}; allowed: uint8 [height, width, 4]")
        return self._ids(rgba[..., :3], rgba[..., 3] >= _HALF_OPAQUE)

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
                f"picture: got #{red:02x}{green:02x}{blue:02x} at pixel (x={x}, y={y}); allowed: {allowed}"
            )
        ids = np.array([entry.id for entry in entries], np.uint8)[nearest]
        ids[~painted] = _NOT_DRAWN
        return ids

    def color_picture(self, label_map: NDArray[np.uint8]) -> Image.Image:
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


def _codes(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Each colour as one number."""
    wide = rgb.astype(np.int64)
    codes: NDArray[np.int64] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return codes
