"""Ids of a palette PNG whose palette was renumbered on the way.

A lossless optimiser may sort a file's palette and renumber its pixels: the image looks the same, and every id
is another. The colours tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from service.core.errors import InvalidArgument

Colour = tuple[int, int, int]


def ids_by_colour(
    ids: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    id_of_colour: Mapping[Colour, int],
    *,
    field: str,
    kept: Collection[int] = (),
) -> NDArray[np.uint8]:
    """Read a map by its colours where these say that its ids are not the model's.

    That is so when all colours that are used are the model's, and some are under other ids. A file with any
    other colour is read by its ids, whatever its palette looks like.

    Args:
        ids: As the file has them, uint8 `[height, width]`.
        palette: The file's colours, uint8 `[colours, 3]`.
        id_of_colour: The model's.
        field: Path of the field the map came in, for the message of a failure.
        kept: Ids that stand for no class and have no colour, such as what is not drawn in a scribble.

    Returns:
        The model's ids, uint8 `[height, width]`.

    Raises:
        InvalidArgument: What is not drawn seems to have been renumbered, too, so that no colour tells it.
    """
    used = [each for each in np.unique(ids).tolist() if each not in kept]
    if not used or used[-1] >= len(palette):
        return ids
    meant = {each: id_of_colour.get(_colour(palette[each])) for each in used}
    known = {each: wanted for each, wanted in meant.items() if wanted is not None}
    unknown = len(meant) - len(known)
    moved = any(each != wanted for each, wanted in known.items())
    if not moved and (unknown != 1 or not known):
        return ids
    if unknown == 1 and kept and not np.isin(ids, list(kept)).any():
        raise InvalidArgument(
            field,
            "a palette with the model's colours under other ids, and one more colour",
            "ids as the model has them, whatever the palette; some programs renumber palettes when they save",
        )
    if unknown:
        return ids
    table = np.arange(256, dtype=np.uint8)
    for each, wanted in known.items():
        table[each] = wanted
    return table[ids]


def _colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue
