"""Limits that contradict each other are refused by name."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from service.core.limits import LIMITS, Limits


@pytest.mark.parametrize(
    ("least", "most"),
    [
        ("min_images", "max_images"),
        ("min_side", "max_side"),
        ("min_quality", "max_quality"),
        ("min_stroke_width", "max_stroke_width"),
        ("min_stroke_width", "max_stroke_pixels"),
    ],
)
def test_a_least_that_is_more_than_the_most_is_refused(least: str, most: str) -> None:
    limit = getattr(LIMITS, most)
    with pytest.raises(ValueError, match=f"{least} .* is more than {most} {limit}"):
        replace(LIMITS, **{least: limit + 1})


def test_every_limit_says_what_it_is() -> None:
    documented = Limits.__doc__ or ""
    assert all(f"        {field.name}: " in documented for field in fields(Limits))
