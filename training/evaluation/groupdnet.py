"""Evaluation of a pack of GroupDNet on held-out label maps.

As for SIS-UG the images are read back by the independent labeller, if there is one. What a code changes is
measured as the paper's mCSD and mOCD: in its own part (wanted) and elsewhere (not wanted), by L1 and by a
distance of features in the manner of LPIPS, which the paper uses; the features are those of the proxy
segmenter, which had no part in this training, or what the source has in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.samples import from_uint8, to_uint8
from training.evaluation.distances import Distances, Features, feature_distance, measure, network_features
from training.evaluation.distances import as_markdown as distances_as_markdown
from training.evaluation.map_changes import MapChange, measure_map_changes
from training.evaluation.map_changes import as_markdown as map_changes_as_markdown
from training.evaluation.metrics import Agreement, agreement
from training.evaluation.sis_ug import NOISE_LEVELS
from training.groupdnet.codes.encoding import MIN_PIXELS
from training.groupdnet.cost import fitting_chunk
from training.groupdnet.sources import Source
from training.groupdnet.trained import TrainedStyles
from training.networks.unet import frozen

PAIRS, MIN_PAIRS = 500, 4
"""Held-out images that are taken where nothing else is asked for; distances need four at least."""
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
    """

    detected: float | None
    agreement: Agreement
    psnr: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a new code changes, means over maps.

    Attributes:
        own: L1 in the style's own part, images from 0 to 1.
        other: L1 in the rest.
        own_features: feature distance with the rest blackened.
        other_features: feature distance with the own part blackened.
    """

    own: float
    other: float
    own_features: float
    other_features: float


@dataclass(frozen=True, slots=True)
class StylesEvaluation:
    """All figures.

    Attributes:
        maps: number of held-out label maps.
        note: of the source; see there.
        found: the same.
        rows: by name.
        distances: of the rows' images to the held-out ones.
        changes: by style, and `mean` over styles: the paper's mCSD and mOCD.
        map_changes: of the image away from an edit of its map, by style and edit.
        diversity: of two images of the same map, L1.
        diversity_features: the same, feature distance.
    """

    maps: int
    note: str
    found: str | None
    rows: dict[str, StylesRow]
    distances: Distances
    changes: dict[str, Change]
    map_changes: dict[str, MapChange]
    diversity: float
    diversity_features: float

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
    """

    def __init__(
        self,
        trained: TrainedStyles,
        source: Source,
        count: int | None,
        python: Path | None = None,
        features: Mapping[str, Features] = MappingProxyType({}),
    ) -> None:
        self.trained, self.python = trained, python
        self.source = source
        self.pairs = self.source.pairs("heldout", count or PAIRS)
        found = len(self.pairs)
        if found < (count or MIN_PAIRS):
            raise ValueError(
                f"pairs: {count or MIN_PAIRS} {'asked for' if count else 'needed'}, the held-out split has "
                f"{found}"
            )
        self.chunk = fitting_chunk(trained.config.network, torch.device("cpu"), decodes=1)
        self.eyes = frozen(self.source.eyes())
        self.features = {self.source.eyes_name: network_features(self.eyes), **features}
        self.everything = torch.arange(found)

    @torch.inference_mode()
    def evaluate(self, seed: int = 0) -> StylesEvaluation:
        """All figures."""
        trained, count = self.trained, len(self.pairs)
        codes = torch.cat([trained.codes(self.pairs, chunk) for chunk in self.everything.split(self.chunk)])
        noise = trained.noise(count, seed)
        originals = self.pairs.images.permute(0, 2, 3, 1).numpy()
        shaken = np.random.default_rng(seed).normal(0, NOISE_LEVELS, originals.shape)
        upper = (originals + shaken).round().clip(0, 255).astype(np.uint8)
        rows = {"upper bound": self._row(upper)}
        sources = {
            "reconstruction": codes,
            "codes of another image": codes.roll(1, 0),
            "joint prior": trained.prior.joint(noise),
            "prior of each style": trained.prior.single(noise),
            "N(0, 1), unfitted": noise.unflatten(1, codes.shape[1:]),
        }
        results = {name: self.images(some, self.everything) for name, some in sources.items()}
        for name, made in results.items():
            rows[name] = self._row(made, originals if name == "reconstruction" else None)
        few = self.everything[:CHANGE_MAPS]
        first, second = (
            from_uint8(self.images(trained.prior.joint(trained.noise(len(few), seed + s)), few))
            for s in (1, 2)
        )
        return StylesEvaluation(
            count,
            self.source.note,
            self.source.found,
            rows,
            measure(originals, results, self.features),
            self._changes(codes[: len(few)], few, seed),
            self._map_changes(few),
            _l1(first, second, torch.ones_like(first[:, :1])),
            feature_distance(self.eyes, first, second),
        )

    def images(self, codes: Tensor, chosen: Tensor) -> NDArray[np.uint8]:
        """Images of the label maps of samples, uint8 `[N, H, W, 3]`."""
        made = [
            to_uint8(self.trained.network(some, self.pairs.batch(part, torch.device("cpu"))[1]))
            for some, part in zip(codes.split(self.chunk), chosen.split(self.chunk), strict=True)
        ]
        return np.concatenate(made)

    def _row(self, images: NDArray[np.uint8], target: NDArray[np.uint8] | None = None) -> StylesRow:
        read, detected = self.source.read(images, self.python)
        quality = agreement(self.pairs.labels.numpy(), read, self.pairs.classes, detected)
        ratio = None
        if target is not None:
            errors = np.square(images.astype(np.float64) - target).mean((1, 2, 3))
            ratio = float((10 * np.log10(255**2 / np.maximum(errors, 1e-6))).mean())
        share = float(detected.mean()) if self.source.found else None
        return StylesRow(share, quality, ratio)

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
                feature_distance(self.eyes, _only(first, own), _only(second, own)),
                feature_distance(self.eyes, _only(first, 1 - own), _only(second, 1 - own)),
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


def as_markdown(evaluation: StylesEvaluation) -> str:
    """The evaluation as Markdown tables."""
    lines = [
        f"{evaluation.maps} held-out label maps. {evaluation.note}".rstrip(),
        "",
    ]
    titles = [*([evaluation.found] if evaluation.found else []), "accuracy", "mIoU", "PSNR (dB)"]
    lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name, row in evaluation.rows.items():
        cells = [] if row.detected is None else [f"{row.detected:.3f}"]
        cells += [f"{row.agreement.accuracy:.3f}", f"{row.agreement.miou:.3f}"]
        cells.append("" if row.psnr is None else f"{row.psnr:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(distances_as_markdown(evaluation.distances))
    lines += [
        "",
        "New code of one style: change in its part and elsewhere (L1 of 1; feature distance):",
        "",
        "| | own, L1 | elsewhere, L1 | own, features | elsewhere, features |",
        "|---|---|---|---|---|",
    ]
    for name, change in evaluation.changes.items():
        lines.append(
            f"| {name} | {change.own:.4f} | {change.other:.4f} "
            f"| {change.own_features:.4f} | {change.other_features:.4f} |"
        )
    lines += ["", map_changes_as_markdown(evaluation.map_changes)]
    lines += [
        "",
        f"Diversity, one map in two styles of the joint prior: L1 {evaluation.diversity:.4f}, "
        f"features {evaluation.diversity_features:.4f}.",
    ]
    return "\n".join(lines)
