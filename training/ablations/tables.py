"""The tables: which question each answers, by which variants of a pack's configuration.

A variant is a name and what it changes of the configuration, by dotted keys. The first variant of a table is
the configuration as it is. What a variant trains, the stages of packs do: there is no other training code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.groupdnet.config import METHOD as GROUPDNET
from training.sis_ug.config import SIS_UG

Options = Mapping[str, Mapping[str, Any]]
"""What stages are called with, by the stage's name, such as the mapper's cycle."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of a table.

    Attributes:
        name: in the table.
        changes: values by dotted keys of the configuration, such as "proxies.clusters".
        options: of stages; they take the place of the table's.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A question and its variants.

    Attributes:
        title: the page's heading.
        question: in a sentence.
        method: of the packs that it is for.
        stages: that each variant goes through, in order.
        shared: weights that all variants have from the pack's folder, as they are shipped, if it has them.
        shared_note: the same in words.
        variants: the first is the configuration as it is.
        options: of stages, for all variants.
    """

    title: str
    question: str
    method: str
    stages: tuple[str, ...]
    shared: tuple[str, ...]
    shared_note: str
    variants: tuple[Variant, ...]
    options: Options = field(default_factory=dict)


AS_IT_IS = "as it is"
NO_CYCLE: Options = {"mapper": {"cycle": "none"}}
_PROXIES = ("clusters", "proxy_segmenter")
_PROXIES_NOTE = (
    "Shared by all variants: clusters and proxy segmenter as shipped, and for each seed one mapper, trained "
    "without a cycle, so that no label reaches the rearranger."
)
_LABELS_NOTE = "Shared by all variants: the label segmenter and the proxy segmenter of faces64, as shipped."


def _groups(first: int, second: int, third: int, last: int) -> dict[str, Any]:
    """Groups of the four blocks of `faces64_styles`."""
    return {f"network.blocks.{i}.groups": groups for i, groups in enumerate((first, second, third, last))}


def _without(section: str, *losses: str) -> dict[str, Any]:
    return {f"{section}.weights.{loss}": 0.0 for loss in losses}


_FEATURES = {"rearranger.weights.features": {8: 0.0, 16: 0.0, 32: 0.0}}

TABLES: dict[str, Table] = {
    "losses": Table(
        "Losses of the rearranger",
        "What does each loss of the rearranger bring?",
        SIS_UG,
        ("rearranger", "mapper"),
        _PROXIES,
        _PROXIES_NOTE,
        (
            Variant(AS_IT_IS),
            Variant("no mask loss", _without("rearranger", "mask")),
            Variant("no style loss", _without("rearranger", "style")),
            Variant("no discriminator", _without("rearranger", "adversarial")),
            Variant("neither mask loss nor discriminator", _without("rearranger", "mask", "adversarial")),
            Variant("no self-reconstruction", _without("rearranger", "image") | _FEATURES),
        ),
        NO_CYCLE,
    ),
    "clusters": Table(
        "Number of clusters",
        "How many clusters should a proxy mask have?",
        SIS_UG,
        ("proxies", "rearranger", "mapper"),
        (),
        "Nothing is shared: each variant has clusters, proxy segmenter, rearranger and mapper of its own.",
        (
            Variant(AS_IT_IS),
            Variant("8 clusters", {"proxies.clusters": 8}),
            Variant("13 clusters", {"proxies.clusters": 13}),
            Variant("52 clusters", {"proxies.clusters": 52}),
        ),
        NO_CYCLE,
    ),
    "attention": Table(
        "Attended levels",
        "At which resolutions should features be moved by attention?",
        SIS_UG,
        ("rearranger", "mapper"),
        _PROXIES,
        _PROXIES_NOTE,
        (
            Variant(AS_IT_IS),
            Variant("8 x 8 alone", {"rearranger.levels": ({"resolution": 8, "heads": 8, "head_dim": 32},)}),
            Variant(
                "16 x 16 alone",
                {
                    "rearranger.levels": ({"resolution": 16, "heads": 4, "head_dim": 32},),
                    "rearranger.hidden": {16: 96, 32: 64},
                    "rearranger.weights.features": {16: 1.0, 32: 1.0},
                },
            ),
            Variant(
                "8, 16 and 32",
                {
                    "rearranger.levels": (
                        {"resolution": 8, "heads": 8, "head_dim": 32},
                        {"resolution": 16, "heads": 4, "head_dim": 32},
                        {"resolution": 32, "heads": 2, "head_dim": 32},
                    )
                },
            ),
        ),
        NO_CYCLE,
    ),
    "cut": Table(
        "The cut",
        "After which resolution should the generator go on alone?",
        SIS_UG,
        ("rearranger", "mapper"),
        _PROXIES,
        _PROXIES_NOTE,
        (
            Variant(AS_IT_IS),
            Variant(
                "cut at 16",
                {
                    "rearranger.cut": 16,
                    "rearranger.hidden": {8: 128, 16: 96},
                    "rearranger.weights.features": {8: 0.5, 16: 1.0},
                },
            ),
        ),
        NO_CYCLE,
    ),
    "cycle": Table(
        "The cycle",
        "What does the mapper's last run bring, and who should judge in it?",
        SIS_UG,
        ("mapper",),
        (*_PROXIES, "rearranger", "discriminator"),
        "Shared by all variants: clusters, proxy segmenter, rearranger and discriminator as shipped, with "
        "their full training. With the same seed the mapper's supervised run is the same in all.",
        (
            Variant(AS_IT_IS),
            Variant("no cycle", options=NO_CYCLE),
            Variant("cycle of the mapper alone", options={"mapper": {"keep_rearranger": True}}),
            Variant("label-free cycle", options={"mapper": {"cycle": "proxies"}}),
        ),
    ),
    "groups": Table(
        "Group schedules",
        "How fast should groups merge on the way to the image? In `faces64_styles` as it is, the blocks have "
        "8, 4, 2 and 1.",
        GROUPDNET,
        ("styles",),
        (),
        f"{_LABELS_NOTE} Widths are the same in all variants, so that fewer groups have more parameters.",
        (
            Variant(AS_IT_IS),
            Variant("8, 8, 8, 8", _groups(8, 8, 8, 8)),
            Variant("4, 2, 1, 1", _groups(4, 2, 1, 1)),
            Variant("2, 1, 1, 1", _groups(2, 1, 1, 1)),
            Variant("1, 1, 1, 1", _groups(1, 1, 1, 1)),
            Variant("none, encoder and start neither", {"network.grouped": False} | _groups(1, 1, 1, 1)),
        ),
    ),
    "leak": Table(
        "The leak loss",
        "Does it take a loss to keep the rest of an image as it is when one code changes?",
        GROUPDNET,
        ("styles",),
        (),
        _LABELS_NOTE,
        (
            Variant(AS_IT_IS),
            Variant("no leak loss", _without("training", "leak")),
            Variant("neither leak nor style loss", _without("training", "leak", "style")),
        ),
    ),
    "style_losses": Table(
        "Losses of GroupDNet",
        "What does each loss of GroupDNet bring?",
        GROUPDNET,
        ("styles",),
        (),
        _LABELS_NOTE,
        (
            Variant(AS_IT_IS),
            Variant("no discriminator", _without("training", "adversarial", "matching")),
            Variant("no feature matching", _without("training", "matching")),
            Variant("no pixel loss", _without("training", "pixels")),
            Variant("no features of the label segmenter", _without("training", "features")),
            Variant("no label loss", _without("training", "label")),
            Variant("no KL divergence", _without("training", "kl")),
        ),
    ),
    "prior": Table(
        "Expectation and prior",
        "What should codes be told as departures from, and what are they drawn from? As it is, the region of "
        "a style itself says what is expected.",
        GROUPDNET,
        ("fit",),
        ("groupdnet", "label_segmenter"),
        "Shared by all variants: the network as shipped, with its full training. Expectation and prior are "
        "fitted anew; seeds differ in the noise that codes are drawn from.",
        (
            Variant(AS_IT_IS),
            Variant("by the whole map", {"network.expectation": "whole_map"}),
            Variant("nothing is expected", {"network.expectation": "none"}),
        ),
    ),
}
