"""The bounds of a label map's width and height, checked before memory is taken for it."""

from __future__ import annotations

from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits


def check_size(width: int, height: int, *, field: str, limits: Limits = LIMITS) -> None:
    """Refuse a size in pixels that is outside `limits`.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        field: Path of the field that has (or holds) the size, for the message of a failure.
        limits: The bounds.

    Raises:
        InvalidArgument: A side or the area is out of bounds.
    """
    sides = range(limits.min_side, limits.max_side + 1)
    if width not in sides or height not in sides or width * height > limits.max_pixels:
        raise InvalidArgument(
            field,
            f"{width} x {height} pixels",
            f"{limits.min_side} to {limits.max_side} pixels a side and at most {limits.max_pixels} in all",
        )
