"""Vector avatars with exact label maps, drawn by DiceBear from a seed.

A style of DiceBear is a document: a canvas and components (hair, eyes, ...) of SVG shapes, each with a fill
that is a colour of its own or refers to a colour of the style. An avatar is the style with a variant and a
colour chosen for each; its label map is the same document with every fill replaced by the colour of its
class, rendered with the same choices and without anti-aliasing. Shapes that only shade what lies below are
left out of it.

Every avatar depends on (style, seed, number) alone.
"""

from __future__ import annotations

import colorsys
import io
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from numpy.typing import NDArray
from PIL import Image

from training.data.avatar_styles import CLASSES, SHADE, STYLES, AvatarStyle

Definition = dict[str, Any]


def draw(
    style: AvatarStyle, seed: int, number: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One avatar and its label map.

    Args:
        style: of `STYLES`.
        seed: of all avatars of a run.
        number: of this one, from 0.
        size: rows and columns, in pixels.

    Returns:
        The image, uint8 `[size, size, 3]`, RGB, and class ids, uint8 `[size, size]`.
    """
    options = choices(style, np.random.default_rng([seed, number]), f"{seed}-{number}")
    shown, labelled = _styles(style.name)
    image = _render(shown, options, size, "geometric_precision")
    plain = {key: value for key, value in options.items() if not key.endswith("Color")}
    colors = _render(labelled, plain | {"backgroundColor": [CLASSES["background"]]}, size, "crisp_edges")
    return image, ids_of(colors)


def ids_of(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class ids of the colours of a label map: uint8 `[H, W, 3]` to uint8 `[H, W]`.

    Raises:
        ValueError: if a pixel has no class's colour.
    """
    codes = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    known = np.array([int(color[1:], 16) for color in CLASSES.values()])
    order = np.argsort(known)
    places = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    ids = order[places]
    if (known[ids] != codes).any():
        wrong = codes[known[ids] != codes][0]
        raise ValueError(f"label map: the colour #{wrong:06x} is no class's")
    class_ids: NDArray[np.uint8] = ids.astype(np.uint8)
    return class_ids


def choices(style: AvatarStyle, rng: np.random.Generator, seed: str) -> dict[str, Any]:
    """DiceBear's options of one avatar: colours, place, scale and tilt beside what the library varies."""
    options: dict[str, Any] = {
        "seed": seed,
        "backgroundColor": [_COLORS["pale" if rng.random() < 0.5 else "any"](rng)],
        # Within what leaves no gap below the shoulders.
        "rotate": round(float(np.clip(rng.normal(0, 3), -6, 6)), 2),
        "scale": round(float(rng.uniform(1.0, 1.2)), 3),
        "translateX": round(float(np.clip(rng.normal(0, 3), -8, 8)), 2),
        "translateY": round(float(rng.uniform(2, 7)), 2),
        "flip": "horizontal" if rng.random() < 0.5 else "none",
    }
    for name, kind in style.colors.items():
        options[f"{name}Color"] = [_COLORS[kind](rng)]
    if "facialHairColor" in options and rng.random() < 0.7:
        options["facialHairColor"] = options["hairColor"]
    for component, percent in style.probability.items():
        options[f"{component}Probability"] = percent
    for component, weights in style.weights.items():
        variants = list(_definition(style.name)["components"][component]["variants"])
        chances = np.array([weights.get(variant, 1.0) for variant in variants])
        options[f"{component}Variant"] = [str(rng.choice(variants, p=chances / chances.sum()))]
    return options


def label_definition(definition: Definition, style: AvatarStyle) -> Definition:
    """A style's document with each shape in its class's colour, and without what only shades."""
    labelled: Definition = json.loads(json.dumps(definition))
    labelled["attributes"]["shape-rendering"] = "crispEdges"
    labelled["canvas"]["elements"] = _labelled(labelled["canvas"]["elements"], "", style)
    for name, component in labelled["components"].items():
        for variant in component["variants"].values():
            variant["elements"] = _labelled(variant["elements"], name, style)
    return labelled


def _labelled(elements: list[Definition], component: str, style: AvatarStyle) -> list[Definition]:
    kept = []
    for element in elements:
        if element["type"] == "component" or element["name"] in ("mask", "clipPath", "defs"):
            kept.append(element)
            continue
        attributes = element.get("attributes", {})
        if "style" in attributes and "mask-type" not in attributes["style"]:
            continue  # blended with what lies below
        least = style.shades.get(component, SHADE)
        opacity = float(attributes.pop("opacity", 1))
        if opacity < least and component:
            continue
        paints = {key: attributes[key] for key in ("fill", "stroke") if attributes.get(key, "none") != "none"}
        for key, paint in paints.items():
            strength = float(attributes.pop(f"{key}-opacity", 1)) * opacity
            fill = f"@{paint['name']}" if isinstance(paint, dict) else str(paint)
            shades = strength < least or fill.startswith("url(")
            attributes[key] = "none" if shades else CLASSES[style.class_of(component, fill)]
        if "children" in element:
            element["children"] = _labelled(element["children"], component, style)
        if not paints or any(attributes[key] != "none" for key in paints):
            kept.append(element)
    return kept


@cache
def _definition(name: str) -> Definition:
    definition: Definition = json.loads(files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8"))
    return definition


@cache
def _styles(name: str) -> tuple[Style, Style]:
    """DiceBear's style, and the one that draws its label maps."""
    definition = _definition(name)
    return Style(definition), Style(label_definition(definition, STYLES[name]))


def _render(style: Style, options: dict[str, Any], size: int, shapes: Any) -> NDArray[np.uint8]:
    svg = str(Avatar(style, options))
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=size, height=size, shape_rendering=shapes, skip_system_fonts=True
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _hex(rng: np.random.Generator, hue: float, saturation: float, value: float, spread: float) -> str:
    hue = (hue + rng.normal(0, 0.02)) % 1
    saturation, value = np.clip(np.array([saturation, value]) + rng.normal(0, spread, 2), 0, 1)
    red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return f"#{red:02x}{green:02x}{blue:02x}"


_SKINS = ("#614335", "#8d5a3c", "#ae5d29", "#d08b5b", "#edb98a", "#ffdbb4", "#f2c9a4", "#fd9841")
_HAIRS = ("#a55728", "#2c1b18", "#b58143", "#d6b370", "#724133", "#4a312c", "#ecdcbf", "#c93305", "#e8e1e1")


def _near(rng: np.random.Generator, colors: tuple[str, ...]) -> str:
    color = str(rng.choice(colors))
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _hex(rng, *colorsys.rgb_to_hsv(red, green, blue), 0.04)


def _any(rng: np.random.Generator) -> str:
    return _hex(rng, float(rng.random()), float(rng.uniform(0, 0.9)), float(rng.uniform(0.25, 1)), 0.02)


_COLORS: dict[str, Callable[[np.random.Generator], str]] = {
    "skin": lambda rng: _near(rng, _SKINS),
    "hair": lambda rng: _near(rng, _HAIRS) if rng.random() < 0.75 else _any(rng),
    "lips": lambda rng: _near(rng, ("#b3404a", "#8c2f39", "#d98880", "#4a2c2a")),
    "any": _any,
    "pale": lambda rng: _hex(rng, float(rng.random()), float(rng.uniform(0.1, 0.35)), 0.93, 0.03),
}
