"""What the examples of edits share: the model, and label maps changed as somebody with a brush might."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from style_sheet import class_of

from maskweave_client import Client, Model

Labels = NDArray[np.uint8]
Region = NDArray[np.bool_]


def model_to_edit(client: Client, name: str | None) -> Model:
    """The model of a name, or the first that can be edited.

    Raises:
        SystemExit: There is none.
    """
    for model in client.models():
        if model.editing is not None and name in (None, model.name):
            return model
    raise SystemExit("the service offers no such model that can be edited")


def more_hair(label_map: Labels, model: Model) -> Labels:
    """Hair wider by 6 pixels to the left and to the right."""
    near = widened(label_map == class_of(model, "hair"), 6)
    return _painted(label_map, near & (label_map == class_of(model, "background")), model, "hair")


def longer_hair(label_map: Labels, model: Model) -> Labels:
    """Hair all around the face, up to 6 pixels from it, and down to the neck."""
    head = np.isin(label_map, [class_of(model, name) for name in ("hair", "skin")])
    near = widened(widened(head, 6).T, 6).T
    return _painted(label_map, near & (label_map == class_of(model, "background")), model, "hair")


def wider_mouth(label_map: Labels, model: Model) -> Labels:
    """A mouth wider by 3 pixels to the left and to the right."""
    near = widened(label_map == class_of(model, "mouth"), 3)
    return _painted(label_map, near & (label_map == class_of(model, "skin")), model, "mouth")


def open_mouth(label_map: Labels, model: Model) -> Labels:
    """A mouth higher by 3 pixels upwards and downwards."""
    near = widened((label_map == class_of(model, "mouth")).T, 3).T
    return _painted(label_map, near & (label_map == class_of(model, "skin")), model, "mouth")


def closed_mouth(label_map: Labels, model: Model) -> Labels:
    """Of the mouth, the 3 rows in its middle."""
    mouth = label_map == class_of(model, "mouth")
    rows = np.arange(len(label_map))[:, np.newaxis]
    middle = np.nonzero(mouth)[0].mean()
    return _painted(label_map, mouth & (np.abs(rows - middle) > 1.5), model, "skin")


def no_nose(label_map: Labels, model: Model) -> Labels:
    """Skin in place of the nose."""
    return _painted(label_map, label_map == class_of(model, "nose"), model, "skin")


def widened(region: Region, pixels: int) -> Region:
    """A region and what is left or right of it."""
    wide = region.copy()
    for step in range(1, pixels + 1):
        wide[:, step:] |= region[:, :-step]
        wide[:, :-step] |= region[:, step:]
    return wide


def _painted(label_map: Labels, region: Region, model: Model, name: str) -> Labels:
    return np.where(region, class_of(model, name), label_map).astype(np.uint8)
