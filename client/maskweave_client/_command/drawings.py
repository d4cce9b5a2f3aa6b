"""Drawings as files: which condition a file is, and which classes it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave_client import LabelMap, Model
from maskweave_client._files import upright

KINDS = {"label-map": "label_map", "sketch": "sketch", "scribble": "scribble", "exemplar": "exemplar"}
"""Names of the kinds on the command line, and in the client."""

_COLORS = ("RGB", "RGBA")


def condition(kind: str, path: Path, model: Model) -> dict[str, Any]:
    """The file as the argument of `Client.synthesize` that it is.

    Raises:
        ValueError: It is painted in colours that are not the palette's.
        OSError: It cannot be read.
    """
    if kind == "label-map":
        return {"label_map": label_map(path, model)}
    if kind == "scribble" and _is_colored(path):
        return {"scribble": model.palette.scribble(path)}
    return {KINDS[kind]: path}


def label_map(path: Path, model: Model) -> LabelMap:
    """A label map: of ids as it is, and painted in the palette's colours as the ids that these stand for.

    Raises:
        ValueError: A colour is not the palette's.
        OSError: It cannot be read.
    """
    return model.palette.label_map(path) if _is_colored(path) else path


def classes_in(path: Path, model: Model) -> set[int]:
    """The ids of the classes that a label map has.

    Raises:
        ValueError: A colour is not the palette's.
        OSError: It cannot be read.
    """
    return {int(each) for each in np.unique(_ids(path, model))}


def ids_of_image(path: Path, model: Model) -> NDArray[np.uint8]:
    """A label map of an image of the model: in the image's size, whatever size it was drawn in.

    Raises:
        ValueError: A colour is not the palette's.
        OSError: It cannot be read.
    """
    return model.palette.resize(_ids(path, model), model.image_width, model.image_height)


def _ids(path: Path, model: Model) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        if image.mode in _COLORS:
            return model.palette.label_map(path)
        if image.mode == "P":
            try:
                return model.palette.label_map(path)  # some program may have renumbered it
            except ValueError:
                pass
        return np.asarray(upright(image), np.uint8)


def _is_colored(path: Path) -> bool:
    """Whether it is a PNG file of colours. What is no PNG the client refuses, by its name."""
    with Image.open(path) as image:
        return image.format == "PNG" and image.mode in _COLORS
