"""The styles that avatars are drawn in: the class of each shape, how often what is drawn, what to credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

CLASSES = {
    "background": "#1f1f1f",
    "skin": "#e6b48c",
    "hair": "#c83c3c",
    "brows": "#784614",
    "eyes": "#4678d2",
    "nose": "#fadc32",
    "mouth": "#d72882",
    "facial_hair": "#8c5aa0",
    "clothes": "#3ca05a",
    "headwear": "#f08228",
    "glasses": "#28b4b4",
    "collar": "#b4dc78",
}
"""The classes of all styles, in the order of their ids, and their colours in label maps."""

SHADE = 0.5
"""A shape of less opacity shades what lies below and has no class of its own."""

ClassOf = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class AvatarStyle:
    """How the avatars of one style are drawn and labelled.

    Attributes:
        name: DiceBear's.
        credit: what its licence asks to be said.
        class_of: the class of a shape, by its component ("" for the canvas itself) and its fill ("@name" for
            a colour of the style).
        shades: least opacity of shapes with a class, where it is not `SHADE`, by component.
        probability: how often optional components are drawn, in percent. Rare ones are drawn often enough to
            be learnt.
        colors: the style's colours by how they are drawn: "hair", "skin", "any" or "pale".
        weights: how often variants are drawn, by component, where it is not equally often.
    """

    name: str
    credit: str
    class_of: ClassOf
    shades: Mapping[str, float]
    probability: Mapping[str, int]
    colors: Mapping[str, str]
    weights: Mapping[str, Mapping[str, float]]


def _avataaars(component: str, fill: str) -> str:
    parts = {
        "accessories": "glasses",
        "clothesGraphic": "clothes",
        "eyebrows": "brows",
        "eyes": "eyes",
        "facialHair": "facial_hair",
        "mouth": "mouth",
        "nose": "nose",
    }
    if component == "top":
        return "hair" if fill == "@hair" else "headwear"
    if component == "clothes":
        return "clothes" if fill == "@clothes" else "collar"
    return parts.get(component, "skin")


def _adventurer(component: str, fill: str) -> str:
    parts = {
        "earrings": "glasses",
        "glasses": "glasses",
        "eyebrows": "brows",
        "eyes": "eyes",
        "mouth": "mouth",
    }
    if component == "hair":
        return "hair" if fill in ("@hair", "@ink") else "headwear"
    return parts.get(component, "skin")


def _lorelei(component: str, fill: str) -> str:
    parts = {
        "beard": "facial_hair",
        "earrings": "glasses",
        "eyebrows": "brows",
        "eyes": "eyes",
        "glasses": "glasses",
        "hair": "hair",
        "hairAccessories": "headwear",
        "mouth": "mouth",
        "nose": "nose",
    }
    return parts.get(component, "skin")


_HATS = ("hat", "hijab", "turban", "winterHat02", "winterHat03", "winterHat04", "winterHat1")

STYLES = {
    style.name: style
    for style in (
        AvatarStyle(
            name="avataaars",
            credit='"Avataaars" (https://avataaars.com) by Pablo Stanley: free for personal and commercial '
            "use",
            class_of=_avataaars,
            shades={"nose": 0.15},
            probability={"accessories": 35, "facialHair": 35},
            colors={"skin": "skin", "hair": "hair", "facialHair": "hair", "hat": "any", "clothes": "any"}
            | {"accessories": "any"},
            weights={
                "top": dict.fromkeys(_HATS, 2.0),
                "clothes": {"graphicShirt": 0.0},  # its drawings are not a style of clothes
                "eyes": {"hearts": 0.2, "xDizzy": 0.2, "cry": 0.2},
                "mouth": {"vomit": 0.0},
            },
        ),
        AvatarStyle(
            name="adventurer",
            credit='"Adventurer" by Lisa Wischofsky: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)',
            class_of=_adventurer,
            shades={},
            probability={"glasses": 35, "details": 20, "earrings": 20, "hair": 95},
            colors={"skin": "skin", "hair": "hair", "glasses": "any", "earrings": "any", "eyes": "any"},
            weights={},
        ),
        AvatarStyle(
            name="lorelei",
            credit='"Lorelei" by Lisa Wischofsky: CC0 1.0 (https://creativecommons.org/publicdomain/zero/1.0/)',
            class_of=_lorelei,
            shades={},
            probability={"glasses": 35, "beard": 30, "earrings": 20, "hairAccessories": 30, "freckles": 10},
            colors={"skin": "skin", "hair": "hair", "glasses": "any", "earrings": "any"}
            | {"hairAccessories": "any", "mouth": "lips"},
            weights={},
        ),
    )
}
