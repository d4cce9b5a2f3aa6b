"""Label maps as arrays: read from the encodings besides PNG, checked, resized, and written."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.files import check_size
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_MAX_ID = 255


def decode_raw(
    data: bytes, width: int, height: int, *, field: str, limits: Limits = LIMITS
) -> NDArray[np.uint8]:
    """Read an uncompressed label map.

    Args:
        data: One byte per pixel, row by row.
        width: Width in pixels.
        height: Height in pixels.
        field: Path of the message that holds these, for the message of a failure.
        limits: Bounds of the size.

    Returns:
        Class ids, uint8 `[height, width]`.

    Raises:
        InvalidArgument: The size is out of bounds, or `data` has another size.
    """
    check_size(width, height, field=field, limits=limits)
    if len(data) != width * height:
        raise InvalidArgument(
            f"{field}.data",
            f"{len(data)} bytes",
            f"exactly {width * height} bytes, for {width} x {height} pixels",
        )
    return np.frombuffer(data, np.uint8).reshape(height, width)


def decode_run_length(
    class_ids: Sequence[int],
    lengths: Sequence[int],
    width: int,
    height: int,
    *,
    field: str,
    limits: Limits = LIMITS,
) -> NDArray[np.uint8]:
    """Read a run-length encoded label map.

    Args:
        class_ids: Class of each run.
        lengths: Pixels of each run, row by row over the ends of rows.
        width: Width in pixels.
        height: Height in pixels.
        field: Path of the message that holds these, for the message of a failure.
        limits: Bounds of the size.

    Returns:
        Class ids, uint8 `[height, width]`.

    Raises:
        InvalidArgument: The size is out of bounds, an id does not fit a byte, a run is empty, or
            the runs do not fill the map exactly.
    """
    check_size(width, height, field=field, limits=limits)
    if len(class_ids) != len(lengths):
        raise InvalidArgument(
            f"{field}.lengths", f"{len(lengths)} lengths", f"as many as class_ids, {len(class_ids)}"
        )
    ids = np.asarray(class_ids, np.uint32)
    runs = np.asarray(lengths, np.uint64)
    _check_each(ids <= _MAX_ID, ids, f"{field}.class_ids", f"0 to {_MAX_ID}")
    _check_each(runs >= 1, runs, f"{field}.lengths", "at least 1 pixel")
    # 2^32 runs of 2^32 pixels would be needed to wrap around; no message holds that many.
    if int(runs.sum()) != width * height:
        raise InvalidArgument(
            f"{field}.lengths",
            f"runs of {int(runs.sum())} pixels in all",
            f"exactly {width * height}, for {width} x {height} pixels",
        )
    return np.repeat(ids.astype(np.uint8), runs.astype(np.int64)).reshape(height, width)


def check_classes(label_map: NDArray[np.uint8], palette_ids: Sequence[int], *, field: str) -> None:
    """Refuse a label map with a class that the palette does not have.

    Args:
        label_map: Class ids, uint8 `[height, width]`.
        palette_ids: The ids of the palette.
        field: Path of the field the map came in, for the message of a failure.

    Raises:
        InvalidArgument: A pixel has another id; names the id and the first such pixel.
    """
    check_ids(label_map, palette_ids, "class", lambda: f"class ids {listed(palette_ids)}", field=field)


def check_ids(
    ids: NDArray[np.uint8], known_ids: Sequence[int], what: str, allowed: Callable[[], str], *, field: str
) -> None:
    """Refuse a map with an id that is not one of those known.

    Args:
        ids: uint8 `[height, width]`.
        known_ids: The ids that it may have.
        what: What the ids are of.
        allowed: Tells the ids that it may have, for people; called for a failure alone.
        field: Path of the field the map came in, for the message of a failure.

    Raises:
        InvalidArgument: A pixel has another id; names the id and the first such pixel.
    """
    if not ids.tobytes().translate(None, bytes(known_ids)):
        return  # nothing is left once these are taken out
    known = np.zeros(_MAX_ID + 1, np.bool_)
    known[list(known_ids)] = True
    fits = known[ids]
    y, x = np.unravel_index(int(fits.argmin()), fits.shape)  # the first that does not
    raise InvalidArgument(field, f"{what} id {ids[y, x]} at pixel (x={x}, y={y})", allowed())


def used_ids(ids: NDArray[np.uint8], likely: Collection[int]) -> list[int]:
    """The ids that a map has, in order.

    Args:
        ids: uint8 `[height, width]`.
        likely: Those that it has most likely; others are found as well, but take longer.
    """
    # Searching bytes takes a hundredth of the time of sorting or counting them.
    data = ids.tobytes()
    found = [each for each in set(likely) if each in data]
    others = np.frombuffer(data.translate(None, bytes(found)), np.uint8)
    if others.size:
        found += np.bincount(others).nonzero()[0].tolist()
    return sorted(found)


def resize_nearest(label_map: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize by nearest neighbour, sampling at pixel centres (the formula in the proto's `LabelMap`).

    Args:
        label_map: Class ids, uint8 `[h, w]`.
        width: New width in pixels.
        height: New height in pixels.

    Returns:
        Class ids, uint8 `[height, width]`, C-contiguous.
    """
    old_height, old_width = label_map.shape
    if (old_width, old_height) == (width, height):
        return np.ascontiguousarray(label_map)
    # floor((i + 1/2) * old / new), in integers.
    rows = (2 * np.arange(height) + 1) * old_height // (2 * height)
    columns = (2 * np.arange(width) + 1) * old_width // (2 * width)
    resized: NDArray[np.uint8] = label_map.take(rows, 0).take(columns, 1)
    return resized


def _check_each(
    good: NDArray[np.bool_], values: NDArray[np.unsignedinteger], field: str, allowed: str
) -> None:
    if not good.all():
        index = int(good.argmin())
        raise InvalidArgument(f"{field}[{index}]", int(values[index]), allowed)


def listed(ids: Sequence[int]) -> str:
    """Ids for people: `0 to 7` when they are all of a range."""
    ordered = sorted(ids)
    if len(ordered) > 1 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered))


def write_palette_png(ids: NDArray[np.uint8], colour_of_id: Mapping[int, tuple[int, int, int]]) -> bytes:
    """Write a palette PNG whose pixel values are the ids; the same label map always gives the same bytes.

    Args:
        ids: uint8 `[height, width]`.
        colour_of_id: Red, green, blue, 0 to 255; ids without one are black.
    """
    colours = np.zeros((_MAX_ID + 1, 3), np.uint8)
    for class_id, colour in colour_of_id.items():
        colours[class_id] = colour
    image = Image.fromarray(ids, "P")
    image.putpalette(colours[: max(colour_of_id, default=0) + 1].tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def run_lengths(ids: NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    """The class of each run of equal pixels and how many they are, row by row over the ends of rows.

    Args:
        ids: uint8 `[height, width]`, not empty.
    """
    flat = ids.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    return flat[starts].tolist(), lengths.tolist()
