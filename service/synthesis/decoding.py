"""From a condition as it was sent to the classes of each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.codecs.label_map import check_classes, decode_raw, decode_run_length
from service.codecs.png import decode_png
from service.core.limits import Limits
from service.synthesis.models import Model
from service.synthesis.request import (
    DecodedLabelMap,
    LabelMap,
    PngLabelMap,
    RawLabelMap,
    RunLengthLabelMap,
)


def decode_label_map(label_map: LabelMap, model: Model, limits: Limits) -> NDArray[np.uint8]:
    """Decode a label map and check its classes. Meant for a codec thread.

    Returns:
        Class ids, uint8 `[height, width]`, of the size that was sent.

    Raises:
        InvalidArgument: It cannot be decoded, is too large, or has a class that the model does not know.
    """
    match label_map:
        case DecodedLabelMap(ids):
            return ids
        case PngLabelMap(data):
            field = "label_map.png"
            ids = decode_png(data, field=field, limits=limits)
        case RawLabelMap(data, width, height):
            field = "label_map.raw"
            ids = decode_raw(data, width, height, field=field, limits=limits)
        case RunLengthLabelMap(class_ids, lengths, width, height):
            field = "label_map.run_length"
            ids = decode_run_length(class_ids, lengths, width, height, field=field, limits=limits)
    check_classes(ids, model.class_ids, field=field)
    return ids
