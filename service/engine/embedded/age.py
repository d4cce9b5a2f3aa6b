"""The order in which calls that wait are taken."""

from __future__ import annotations

from typing import NamedTuple


class Age(NamedTuple):
    """Orders what waits: the smaller goes first.

    Attributes:
        priority: Of the request.
        number: Of the request; older ones have smaller numbers.
    """

    priority: int
    number: int
