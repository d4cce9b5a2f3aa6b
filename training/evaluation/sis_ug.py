"""Evaluation of a pack on held-out pairs: the label map of one sample, the style of another.

The images are read back by the labeller that labelled the data. It is asked by no loss, but its labels taught
the networks that are; so the *judge* reads them too, where the pack has one: built otherwise, and trained on
samples that nothing else uses. Two bounds are evaluated beside the pack: *chance* (another sample's image,
whose mask is no relation: a face is always a face) and the *upper bound* (the very image the label map was
read from, slightly noised: how well the reader agrees with the label maps).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.conditions.drawn_by_hand import fits
from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import load_split, run_labeller
from training.data.reading import read_label_maps
from training.data.samples import chunk_size, from_uint8, to_uint8
from training.evaluation.conditions import by_hand_sheet, conditions_sheet, held_out_conditions, images_for
from training.evaluation.distances import (
    JUDGE_FEATURES,
    Distances,
    Features,
    measure,
    network_features,
)
from training.evaluation.metrics import Agreement, agreement, slightly_noised, style_error
from training.evaluation.notes import touched
from training.networks.judge import Judge
from training.sis_ug.config import PackConfig
from training.sis_ug.inversion.reconstruction import Reconstruction, reconstruction
from training.sis_ug.networks.build import PROXY_SEGMENTER
from training.sis_ug.pipeline import SynthesisPipeline

CHUNK = 50
HELDOUT = "heldout"
MIN_PAIRS = 4
"""With fewer, distances could not be taken between halves."""
SHEET_MASKS = 6
SHEET_STYLES = 9
SHEET_WORST = 10
MAX_PAIRS = 500
"""Where nobody asks for another number."""
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        detected: share of images in which the reader finds anything.
        agreement: with the wanted label maps; images in which nothing is found are wrong at every pixel.
        style_error: against the style's source, 0-255.
        judged: agreement as the judge reads it; None without one, and where the judge is the reader.
    """

    detected: float
    agreement: Agreement
    style_error: float
    judged: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows by name, over the same pairs, and the results' distances to the generator's own images.

    Attributes:
        pairs: how many.
        rows: by name.
        distances: of the results.
        reconstructions: of images through the inverter, by their kind; none while it is not trained.
        split: that the pairs are of.
        touched: what each table is measured by, and what of it had a part in the training.
    """

    pairs: int
    rows: dict[str, Row]
    distances: Distances
    reconstructions: dict[str, Reconstruction] = field(default_factory=dict)
    split: str = HELDOUT
    touched: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


class Evaluator:
    """Holds the pairs: style of sample i, label map of sample i + 1.

    Args:
        config: the pack's.
        pipeline: the trained pack.
        pairs: how many; None: as many as the split has, at most `MAX_PAIRS`.
        python: as for `run_labeller`.
        features: further ones, by name, to take distances in.
        judge: reads the results, too; instead of the labeller, where the pack has none.
        split: whose samples are used.
        tell: is told what is being done, before it is: reading hundreds of images takes minutes.

    Raises:
        ValueError: if the split has fewer samples, or nobody can read label maps.
    """

    def __init__(
        self,
        config: PackConfig,
        pipeline: SynthesisPipeline,
        pairs: int | None,
        python: Path | None = None,
        features: Mapping[str, Features] = MappingProxyType({}),
        judge: Judge | None = None,
        split: str = HELDOUT,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        if config.data.labeller is None and judge is None:
            raise ValueError(
                f"pack {config.pack.name!r} has no labeller and no judge: run `maskweave train judge` first"
            )
        samples = load_split(config, pipeline.generator, split)
        most = len(samples) - 1
        pairs = min(most, MAX_PAIRS) if pairs is None else pairs
        if not MIN_PAIRS <= pairs <= most:
            raise ValueError(f"pairs: {pairs} asked for, the {split} split allows {MIN_PAIRS} to {most}")
        self.config, self.pipeline, self.pairs, self.python = config, pipeline, pairs, python
        self.judge, self.split, self.tell = judge, split, tell
        tell(f"drawing {pairs + 1} samples of the {split} split")
        self.samples = samples
        self.chunk = chunk_size(pipeline.generator.image_size, CHUNK)
        self.wanted = samples.labels[1 : pairs + 1].numpy()
        self.latents = samples.latents[:pairs]
        self.source_labels = samples.labels[:pairs].numpy()
        with torch.inference_mode():
            images = [
                to_uint8(pipeline.head(chunk).images)
                for chunk in samples.latents[: pairs + 1].split(self.chunk)
            ]
        everything = np.concatenate(images)
        self.sources, self.givers = everything[:pairs], everything[1:]
        self.features = {PROXY_SEGMENTER: network_features(pipeline.segmenter), **features}
        if judge is not None:
            self.features[JUDGE_FEATURES] = network_features(judge)

    def evaluate(self, strengths: list[float], seed: int = 0) -> Evaluation:
        """Evaluate label maps at each style strength, with chance and upper bound."""
        noised = slightly_noised(self.givers, seed)
        # Rolled by two: neither the sample the mask comes from nor the style's source.
        bounds = {"chance": np.roll(self.givers, 2, axis=0), "upper bound": noised}
        results = {f"style strength {strength:g}": self.synthesize(strength) for strength in strengths}
        rows = self._rows(bounds | results)
        distances = self._distances(results)
        return Evaluation(self.pairs, rows, distances, split=self.split, touched=touched(self.config))

    def evaluate_conditions(self, strength: float) -> tuple[Evaluation, dict[str, Image.Image]]:
        """Evaluate every other kind of condition; with sheets of these and of drawings made by hand."""
        asked = held_out_conditions(self.config, self.pipeline, self.wanted, self.givers)
        made = []
        for one in asked:
            self.tell(f"making {self.pairs} images: {one.name}")
            made.append(images_for(self.pipeline, one, self.latents, strength))
        results = dict(zip((one.name for one in asked), made, strict=True))
        rows = self._rows(results)
        sheets = {"conditions": conditions_sheet(self.config, asked, made, self.sources)}
        readers = self.pipeline.reader, self.pipeline.completer
        if fits(self.config.palette) and any(reader is not None for reader in readers):
            sheets["by_hand"] = by_hand_sheet(self.config, self.pipeline, self.latents, strength)
        return Evaluation(self.pairs, rows, self._distances(results)), sheets

    def evaluate_inverter(self, photographs: NDArray[np.uint8] | None = None) -> dict[str, Reconstruction]:
        """How faithfully the styles' own images and photographs, uint8 `[N, H, W, 3]`, come back."""
        if self.pipeline.inverter is None:
            return {}
        rows = {"held-out images of the generator": reconstruction(self.pipeline, self.sources)}
        if photographs is not None:
            rows["photographs"] = reconstruction(self.pipeline, photographs)
        return rows

    def synthesize(self, strength: float) -> NDArray[np.uint8]:
        """Images of all pairs, uint8 `[pairs, H, W, 3]`."""
        self.tell(f"making {self.pairs} images: style strength {strength:g}")
        return synthesize(self.pipeline, torch.from_numpy(self.wanted), self.latents, strength)

    def sheet(self, strength: float) -> Image.Image:
        """Label maps (rows) by styles (columns); the first row shows the styles themselves."""
        masks = self.samples.labels[20 : 20 + SHEET_MASKS]
        styles = self.samples.latents[:SHEET_STYLES]
        with torch.inference_mode():
            own = to_uint8(self.pipeline.head(styles).images)
        blank = np.zeros_like(own[:1])
        rows = [np.concatenate([blank, own])]
        for mask in masks:
            images = synthesize(self.pipeline, mask.expand(SHEET_STYLES, -1, -1), styles, strength)
            rows.append(np.concatenate([paint_labels(mask[None], self.config.palette), images]))
        return contact_sheet([from_uint8(row) for row in rows], least=128)

    def worst(self, strength: float) -> Image.Image:
        """The pairs with the lowest pixel accuracy: label maps, styles, results, what is read off them."""
        images = self.synthesize(strength)
        read, _ = self._read(images)
        lowest = (read == self.wanted).mean((1, 2)).argsort()[:SHEET_WORST]
        masks, labels = (paint_labels(maps[lowest], self.config.palette) for maps in (self.wanted, read))
        shown = from_uint8(self.sources[lowest]), from_uint8(images[lowest])
        return contact_sheet([masks, *shown, labels], least=128)

    def dial(self) -> Image.Image:
        """Label map, style, and results at style strengths from 0 to 1, a row for each of several pairs."""
        chosen = slice(0, SHEET_MASKS)
        maps, latents = torch.from_numpy(self.wanted[chosen]), self.latents[chosen]
        columns: list[NDArray[np.uint8]] = [paint_labels(maps, self.config.palette), self.sources[chosen]]
        columns += [synthesize(self.pipeline, maps, latents, strength) for strength in DIAL]
        grid: NDArray[np.uint8] = np.stack(columns, axis=1)
        return contact_sheet([from_uint8(grid[row]) for row in range(len(grid))], least=128)

    def _rows(self, results: Mapping[str, NDArray[np.uint8]]) -> dict[str, Row]:
        rows = {}
        for number, (name, images) in enumerate(results.items(), 1):
            self.tell(f"reading {len(images)} images, {number} of {len(results)}: {name}")
            rows[name] = self._row(images)
        return rows

    def _distances(self, results: Mapping[str, NDArray[np.uint8]]) -> Distances:
        self.tell(f"comparing images by features of {', '.join(self.features)}")
        return measure(self.sources, results, self.features)

    def _row(self, images: NDArray[np.uint8]) -> Row:
        classes = len(self.config.palette)
        read, detected = self._read(images)
        error = style_error(
            self.sources[detected], self.source_labels[detected], images[detected], read[detected], classes
        )
        judged = None
        if self.judge is not None and self.config.data.labeller is not None:
            judged = agreement(self.wanted, self._judged(images), classes)
        return Row(float(detected.mean()), agreement(self.wanted, read, classes, detected), error, judged)

    def _read(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Label maps by the labeller, or by the judge where there is none; and where anything was found."""
        if self.config.data.labeller is None:
            return self._judged(images), np.ones(len(images), bool)
        return run_labeller(self.config.data.labeller, images, self.python, len(self.config.palette))

    def _judged(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self.judge is not None
        return read_label_maps(self.judge, images)


def synthesize(
    pipeline: SynthesisPipeline, labels: Tensor, latents: Tensor, strength: float
) -> NDArray[np.uint8]:
    """Images, uint8 `[N, H, W, 3]`, for label maps `[N, H, W]` and latents `[N, latent_dim]`."""
    chunk = chunk_size(pipeline.generator.image_size, CHUNK)
    chunks = [
        to_uint8(pipeline(some_labels, some_latents, torch.full((len(some_latents), 1), strength)))
        for some_labels, some_latents in zip(labels.split(chunk), latents.split(chunk), strict=True)
    ]
    return np.concatenate(chunks)
