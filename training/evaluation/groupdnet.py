"""Evaluation of a pack of GroupDNet on held-out label maps.

As for SIS-UG the images are read back by the labeller, if there is one, and by the judge, where one has been
trained: no loss asks either. What a code changes is measured as the paper's mCSD and mOCD: in its own part
(wanted) and elsewhere (not wanted), by L1 and by LPIPS, which the paper uses; where that is not asked for, by
a distance of features in its manner: of the proxy segmenter, which had no part in this training, or of the
judge, or what the source has in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.folders import HELDOUT
from training.data.reading import read_label_maps
from training.data.samples import from_uint8, to_uint8
from training.evaluation.crispness import Crispness, crispness
from training.evaluation.distances import (
    JUDGE_FEATURES,
    Distances,
    Encoder,
    Features,
    feature_distance,
    measure,
    network_features,
)
from training.evaluation.lpips import LPIPS, Lpips
from training.evaluation.map_changes import MapChange, measure_map_changes
from training.evaluation.metrics import Agreement, agreement, mean_psnr, slightly_noised
from training.evaluation.notes import touched_styles
from training.groupdnet.codes.encoding import MIN_PIXELS
from training.groupdnet.cost import fitting_chunk
from training.groupdnet.sources import Source
from training.groupdnet.trained import TrainedStyles
from training.networks.judge import Judge
from training.networks.unet import frozen

PAIRS, MIN_PAIRS = 500, 4
"""Held-out images that are taken where nothing else is asked for; distances need four at least."""
SPLIT_NAMES = {HELDOUT: "held-out"}
CHANGE_MAPS = 100
"""Maps on which single codes are changed, and diversity is measured."""


@dataclass(frozen=True, slots=True)
class StylesRow:
    """One line of the table.

    Attributes:
        detected: share of images in which the labeller finds what it looks for; None where nothing can be
            missed.
        agreement: with the wanted label maps; images in which nothing is found are wrong at every pixel.
        psnr: against the images the label maps were read from, dB; None where they are no target.
        judged: agreement as the judge reads it; None without one, and where the judge is the reader.
    """

    detected: float | None
    agreement: Agreement
    psnr: float | None
    judged: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a new code changes, means over maps.

    Attributes:
        own: L1 in the style's own part, images from 0 to 1.
        other: L1 in the rest.
        own_features: distance by features, or LPIPS, with the rest blackened.
        other_features: the same with the own part blackened.
    """

    own: float
    other: float
    own_features: float
    other_features: float


@dataclass(frozen=True, slots=True)
class StylesEvaluation:
    """All figures.

    Attributes:
        maps: number of label maps.
        found: of the source; see there.
        rows: by name.
        distances: of the rows' images to the held-out ones.
        changes: by style, and `mean` over styles: the paper's mCSD and mOCD.
        map_changes: of the image away from an edit of its map, by style and edit.
        diversity: of two images of the same map, L1.
        diversity_features: the same, by features or LPIPS.
        apart_by: what changes and diversity are told in, beside L1.
        crispness: of reconstructions beside the images themselves.
        split: that the maps are of.
        touched: what each table is measured by, and what of it had a part in the training.
    """

    maps: int
    found: str | None
    rows: dict[str, StylesRow]
    distances: Distances
    changes: dict[str, Change]
    map_changes: dict[str, MapChange]
    diversity: float
    diversity_features: float
    apart_by: str
    crispness: Crispness
    split: str = HELDOUT
    touched: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


class StylesEvaluator:
    """Holds held-out pairs and makes images of their label maps.

    Args:
        trained: the pack.
        source: what it is measured by.
        count: how many pairs; None: 500, or as many as there are.
        python: as for `run_labeller`.
        features: further ones, by name, to take distances in.
        judge: reads the results, too; instead of the label segmenter, where there is no labeller.
        split: whose images are used.
        tell: is told what is being done, before it is: hundreds of large images take minutes.
        lpips: what changes and diversity are told in, in place of features.

    Raises:
        FileNotFoundError: if the split is empty.
        ValueError: if it has fewer pairs, or the configuration has no such split.
    """

    def __init__(
        self,
        trained: TrainedStyles,
        source: Source,
        count: int | None,
        python: Path | None = None,
        features: Mapping[str, Features] = MappingProxyType({}),
        judge: Judge | None = None,
        split: str = HELDOUT,
        tell: Callable[[str], None] = lambda _: None,
        lpips: Lpips | None = None,
    ) -> None:
        self.trained, self.python, self.judge = trained, python, judge
        self.source, self.split, self.tell = source, split, tell
        tell(f"reading the {SPLIT_NAMES.get(split, split)} split")
        self.pairs = self.source.pairs(split, count or PAIRS)
        found = len(self.pairs)
        if found < (count or MIN_PAIRS):
            raise ValueError(
                f"pairs: {count or MIN_PAIRS} {'asked for' if count else 'needed'}, the "
                f"{SPLIT_NAMES.get(split, split)} split has {found}"
            )
        self.chunk = fitting_chunk(trained.config.network, torch.device("cpu"), decodes=1)
        self.judge_reads = judge is not None and not source.has_labeller
        own = frozen(self.source.eyes())
        self.features = {source.eyes_name: network_features(own), **features}
        eyes: Encoder = own
        self.apart_by = f"features of {source.eyes_name}"
        if judge is not None:
            self.features[JUDGE_FEATURES] = network_features(judge)
            if self.judge_reads:
                eyes, self.apart_by = judge, f"features of {JUDGE_FEATURES}"
        self.apart: Callable[[Tensor, Tensor], float] = partial(feature_distance, eyes)
        if lpips is not None:
            self.apart, self.apart_by = lpips.mean, LPIPS
        self.everything = torch.arange(found)

    @torch.inference_mode()
    def evaluate(self, seed: int = 0) -> StylesEvaluation:
        """All figures."""
        trained, count = self.trained, len(self.pairs)
        self.tell(f"reading the codes of {count} images")
        codes = torch.cat([trained.codes(self.pairs, chunk) for chunk in self.everything.split(self.chunk)])
        noise = trained.noise(count, seed)
        originals = self.pairs.images.permute(0, 2, 3, 1).numpy()
        rows = {"upper bound": self._row("upper bound", slightly_noised(originals, seed))}
        sources = {
            "reconstruction": codes,
            "codes of another image": codes.roll(1, 0),
            "joint prior": trained.prior.joint(noise),
            "prior of each style": trained.prior.single(noise),
            "N(0, 1), unfitted": noise.unflatten(1, codes.shape[1:]),
        }
        results: dict[str, NDArray[np.uint8]] = {}
        for name, some in sources.items():
            self.tell(f"making {count} images: {name}")
            results[name] = self.images(some, self.everything)
        for name, made in results.items():
            rows[name] = self._row(name, made, originals if name == "reconstruction" else None)
        self.tell(f"comparing images by features of {', '.join(self.features)}")
        distances = measure(originals, results, self.features)
        few = self.everything[:CHANGE_MAPS]
        first, second = (
            from_uint8(self.images(trained.prior.joint(trained.noise(len(few), seed + s)), few))
            for s in (1, 2)
        )
        self.tell(f"changing single codes, then maps, of {len(few)} images")
        return StylesEvaluation(
            count,
            self.source.found,
            rows,
            distances,
            self._changes(codes[: len(few)], few, seed),
            self._map_changes(few),
            _l1(first, second, torch.ones_like(first[:, :1])),
            self.apart(first, second),
            self.apart_by,
            crispness(results["reconstruction"], originals, self.pairs.labels.numpy()),
            self.split,
            touched_styles(self.source, judged=self.judge is not None),
        )

    def images(self, codes: Tensor, chosen: Tensor) -> NDArray[np.uint8]:
        """Images of the label maps of samples, uint8 `[N, H, W, 3]`."""
        made = [
            to_uint8(self.trained.network(some, self.pairs.batch(part, torch.device("cpu"))[1]))
            for some, part in zip(codes.split(self.chunk), chosen.split(self.chunk), strict=True)
        ]
        return np.concatenate(made)

    def _row(
        self, name: str, images: NDArray[np.uint8], target: NDArray[np.uint8] | None = None
    ) -> StylesRow:
        self.tell(f"reading {len(images)} images: {name}")
        wanted, classes = self.pairs.labels.numpy(), self.pairs.classes
        judged = None if self.judge is None else read_label_maps(self.judge, images)
        if judged is not None and self.judge_reads:
            read, detected, other = judged, np.ones(len(images), bool), None
        else:
            read, detected = self.source.read(images, self.python)
            other = None if judged is None else agreement(wanted, judged, classes)
        quality = agreement(wanted, read, classes, detected)
        ratio = None
        if target is not None:
            ratio = mean_psnr(images, target)
        share = float(detected.mean()) if self.source.found else None
        return StylesRow(share, quality, ratio, other)

    def _map_changes(self, chosen: Tensor) -> dict[str, MapChange]:
        config, labels = self.trained.config, self.pairs.labels[chosen].numpy()
        images = from_uint8(self.pairs.images[chosen].permute(0, 2, 3, 1).numpy())
        return measure_map_changes(
            self.trained.network, images, labels, config.style_names, config.network.classes
        )

    def _changes(self, codes: Tensor, chosen: Tensor, seed: int) -> dict[str, Change]:
        """Two draws of one style's code, all others as encoded."""
        _, maps = self.pairs.batch(chosen, torch.device("cpu"))
        regions = self.trained.network.style_maps(maps)
        draws = [self.trained.prior.single(self.trained.noise(len(chosen), seed + draw)) for draw in (11, 12)]
        found: dict[str, Change] = {}
        for style, name in enumerate(self.trained.config.style_names):
            there = regions[:, style].sum((1, 2)) >= MIN_PIXELS
            own = regions[there, style : style + 1]
            if not len(own):
                continue
            changed = []
            for draw in draws:
                some = codes[there].clone()
                some[:, style] = draw[there, style]
                changed.append(from_uint8(self.images(some, chosen[there])))
            first, second = changed
            found[name] = Change(
                _l1(first, second, own),
                _l1(first, second, 1 - own),
                self.apart(_only(first, own), _only(second, own)),
                self.apart(_only(first, 1 - own), _only(second, 1 - own)),
            )
        found["mean"] = Change(*(float(np.mean([get(c) for c in found.values()])) for get in _FIGURES))
        return found


_FIGURES: tuple[Callable[[Change], float], ...] = (
    lambda change: change.own,
    lambda change: change.other,
    lambda change: change.own_features,
    lambda change: change.other_features,
)


def _l1(first: Tensor, second: Tensor, region: Tensor) -> float:
    """L1 in a region `[N, 1, H, W]`, of images scaled to 0 ... 1: mean over pairs."""
    apart = ((first - second).abs().mean(1, keepdim=True) * region).sum((1, 2, 3)) / 2
    return float((apart / region.sum((1, 2, 3)).clamp(min=1)).mean())


def _only(images: Tensor, region: Tensor) -> Tensor:
    """Images black outside of a region."""
    return (images + 1) * region - 1
