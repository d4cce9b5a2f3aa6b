"""Single files of images and label maps: what is read, and what is refused by the name of its file.

An image is any PNG or JPEG of 8 bits per channel in which nothing is transparent; a label map holds class
ids, as greys or palette indices, or is painted in the palette's colours. Both are turned as their Exif
orientation says.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.config.palette import IGNORED, Palette

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_MODES = ("RGB", "L", "P", "1", "CMYK", "YCbCr")
ID_MODES = ("L", "P", "1")
ALPHA_MODES = ("RGBA", "LA", "PA")

FULL = 255
"""Of alpha: opaque."""

Labels = NDArray[np.uint8]


def square_image(file: Path, side: int) -> NDArray[np.uint8]:
    """A square image of any size, brought to `side` pixels by a filter: uint8 `[side, side, 3]`.

    Raises:
        ValueError: as `open_image`, or if it is not square.
    """
    image = _square(open_image(file), file)
    return np.array(image.resize((side, side), Image.Resampling.LANCZOS))


def square_images(folder: Path, side: int) -> NDArray[np.uint8]:
    """Every image of a folder, in the order of their names: uint8 `[N, side, side, 3]`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: as `square_image`.
    """
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise FileNotFoundError(f"{folder}: no file that ends in {' or '.join(IMAGE_SUFFIXES)}")
    return np.stack([square_image(file, side) for file in files])


def square_label_map(file: Path, side: int, palette: Palette) -> Labels:
    """A square label map of any size, brought to `side` pixels by the nearest: uint8 `[side, side]`.

    Raises:
        ValueError: as `open_label_map` and `labels_of`, or if it is not square.
    """
    label_map = _square(open_label_map(file), file)
    return labels_of(label_map.resize((side, side), Image.Resampling.NEAREST), palette, file)


def open_image(file: Path) -> Image.Image:
    """A file's image: RGB, upright.

    Raises:
        ValueError: if it cannot be read, or has other channels.
    """
    image = _opaque(_open(file), file)
    if image.mode not in IMAGE_MODES:
        refuse(file, f"an image of mode {image.mode}", "8 bits per channel, nothing transparent")
    return image.convert("RGB")


def open_label_map(file: Path) -> Image.Image:
    """A file's label map, upright: of class ids (mode L, P or 1) or of the palette's colours (RGB).

    Raises:
        ValueError: if it cannot be read, or has another mode.
    """
    label_map = _open(file)
    if label_map.mode in ("RGBA", "LA"):
        label_map = _opaque(label_map, file)
    if label_map.mode not in (*ID_MODES, "RGB"):
        refuse(
            file,
            f"a PNG of mode {label_map.mode}",
            "L or P, whose values are class ids, or RGB, in the palette's colours",
        )
    return label_map


def labels_of(
    label_map: Image.Image, palette: Palette, file: Path, ignore: int | str | None = None
) -> Labels:
    """Class ids of what `open_label_map` gave, IGNORED where there is no class: uint8 `[H, W]`.

    Args:
        label_map: the image.
        palette: the classes that it may have.
        file: where it comes from.
        ignore: id, or colour as "#rrggbb", of pixels of no class.

    Raises:
        ValueError: if it has an id or a colour that the palette has not.
    """
    read = _ids_of_colors if label_map.mode == "RGB" else _ids
    return read(np.asarray(label_map, np.uint8), palette, file, ignore)


def refuse(file: Path, found: str, allowed: str) -> NoReturn:
    """Raise the ValueError that names a file, what was found in it, and what is allowed."""
    raise ValueError(f"{file}: got {found}; allowed: {allowed}") from None


def _ids(values: NDArray[np.uint8], palette: Palette, file: Path, ignore: int | str | None) -> Labels:
    labels = values.copy()
    ignored = values == ignore if isinstance(ignore, int) else np.zeros(values.shape, bool)
    labels[ignored] = IGNORED
    unknown = (values >= len(palette)) & ~ignored
    if unknown.any():
        y, x = np.argwhere(unknown)[0]
        also = f", and {ignore} for none" if isinstance(ignore, int) else ""
        refuse(file, f"class id {values[y, x]}", f"class ids 0 to {len(palette) - 1}{also}")
    return labels


def _ids_of_colors(
    values: NDArray[np.uint8], palette: Palette, file: Path, ignore: int | str | None
) -> Labels:
    codes = _packed(values)
    labels = np.full(codes.shape, IGNORED, np.uint8)
    known = np.zeros(codes.shape, bool)
    if isinstance(ignore, str):
        known = codes == int(ignore[1:], 16)
    own = _packed(palette.colors())
    several = [code for code in own if (own == code).sum() > 1 and (codes == code).any()]
    if several:
        refuse(file, f"the colour #{several[0]:06x}, which several classes have", "class ids")
    for class_id, code in enumerate(own):
        mine = (codes == code) & ~known
        labels[mine] = class_id
        known |= mine
    if not known.all():
        y, x = np.argwhere(~known)[0]
        colors = ", ".join(entry.color for entry in palette.classes)
        also = f", and {ignore} for none" if isinstance(ignore, str) else ""
        refuse(file, f"the colour #{codes[y, x]:06x}", f"the palette's colours, {colors}{also}")
    return labels


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Colours `[..., 3]` as numbers 0xrrggbb."""
    packed: NDArray[np.int64] = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return packed


def _open(file: Path) -> Image.Image:
    """A file's image, loaded and upright."""
    if file.exists() and not file.is_file():  # a pipe might never end
        refuse(file, "no file", "a complete PNG or JPEG")
    try:
        with Image.open(file, formats=["PNG", "JPEG"]) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's readers raise what they please for a damaged file
        refuse(file, f"a file that cannot be read ({error})", "a complete PNG or JPEG")


def _opaque(image: Image.Image, file: Path) -> Image.Image:
    """An image without its alpha channel or its transparent colour, of which nothing may make use."""
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return image
    seen = image.convert("RGBA")
    if np.asarray(seen.getchannel("A")).min() < FULL:
        refuse(file, f"an image of mode {image.mode} with transparent pixels", "opaque ones")
    return seen.convert("L" if image.mode == "LA" else "RGB")


def _square(image: Image.Image, file: Path) -> Image.Image:
    width, height = image.size
    if width != height:
        refuse(file, f"{width} x {height} pixels", "a square")
    return image
