"""What the small model repository's ensembles say to offer a pack to callers."""

from __future__ import annotations

import json

PALETTE = (
    (0, "background", "background", "#1f1f1f"),
    (1, "hair", "hair or headwear", "#8b5a2b"),
    (2, "skin", "skin", "#f2c6a0"),
    (3, "brows", "brows", "#5a3a1b"),
    (4, "eyes", "eyes", "#3a6fd8"),
    (5, "nose", "nose", "#e59a6f"),
    (6, "mouth", "mouth", "#c8324b"),
    (7, "neck", "neck or clothes", "#6fae5f"),
)
LATENT_SIZE = 100
LATENT_SCALE = 0.9
VERSION = "1.2.3"


def pack_parameters(pack: str, *, strength: str | None, **other: str) -> str:
    """The parameters by which an ensemble's config offers a pack to callers; without a strength for None."""
    classes = [{"id": i, "name": name, "title": title, "color": color} for i, name, title, color in PALETTE]
    values = {
        "pack": pack,
        "method": "sis-ug",
        "condition": "label_map",
        "title": f"Title of {pack}",
        "description": f"What {pack} makes.",
        "palette": json.dumps(classes),
        "latent_scale": str(LATENT_SCALE),
        "model_version": VERSION,
        **({} if strength is None else {"style_strength": strength}),
        **other,
    }
    return "".join(
        f'parameters {{ key: "maskweave.{key}" value {{ string_value: {json.dumps(value)} }} }}\n'
        for key, value in values.items()
    )
