"""Evaluation of a pack on held-out pairs: the label map of one sample, the style of another.

The pictures are read back by the independent labeller that labelled the data, which had no part in the
losses. Two bounds are evaluated beside the pack: *chance* (another sample's picture, whose mask is no
relation: a face is always a face) and the *upper bound* (the very picture the label map was read from,
slightly noised: how well the labeller agrees with itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.conditions import by_hand_sheet, conditions_sheet, held_out_conditions, pictures_for
from training.config import PackConfig
from training.data.labelled import load_split, run_labeller
from training.data.samples import chunk_size, from_uint8, to_uint8
from training.distances import PROXY_SEGMENTER, Distances, Features, measure, network_features
from training.distances import as_markdown as distances_as_markdown
from training.metrics import Agreement, agreement, style_error
from training.pipeline import SynthesisPipeline
from training.reconstruction import Reconstruction, reconstruction
from training.reconstruction import as_markdown as reconstructions_as_markdown
from training.sheets import contact_sheet, paint_labels

CHUNK = 50
NOISE_LEVELS = 2.0
"""Standard deviation, in 0-255, of the noise on pictures of the upper bound."""
MIN_PAIRS = 4
"""With fewer, distances could not be taken between halves."""
SHEET_MASKS = 6
SHEET_STYLES = 9
SHEET_WORST = 10
DIAL = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        detected: share of pictures in which the labeller finds a face.
        agreement: with the wanted label maps; pictures without a face are wrong at every pixel.
        style_error: against the style's source, 0-255.
    """

    detected: float
    agreement: Agreement
    style_error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows by name, over the same pairs, and the results' distances to the generator's own pictures.

    Attributes:
        pairs: how many.
        rows: by name.
        distances: of the results.
        reconstructions: of pictures through the inverter, by their kind; none while it is not trained.
    """

    pairs: int
    rows: dict[str, Row]
    distances: Distances
    reconstructions: dict[str, Reconstruction] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


class Evaluator:
    """Holds the pairs: style of sample i, label map of sample i + 1.

    Args:
        config: the pack's.
        pipeline: the trained pack.
        pairs: how many.
        python: as for `run_labeller`.
        features: further ones, by name, to take distances in.
    """

    def __init__(
        self,
        config: PackConfig,
        pipeline: SynthesisPipeline,
        pairs: int,
        python: Path | None = None,
        features: Mapping[str, Features] = MappingProxyType({}),
    ) -> None:
        samples = load_split(config, pipeline.generator, "heldout")
        if len(samples) < pairs + 1:
            raise ValueError(
                f"pairs: {pairs} asked for, the held-out split allows at most {len(samples) - 1}"
            )
        self.config, self.pipeline, self.pairs, self.python = config, pipeline, pairs, python
        self.samples = samples
        self.chunk = chunk_size(pipeline.generator.image_size, CHUNK)
        self.wanted = samples.labels[1 : pairs + 1].numpy()
        self.latents = samples.latents[:pairs]
        self.source_labels = samples.labels[:pairs].numpy()
        with torch.inference_mode():
            pictures = [
                pipeline.head(chunk).pictures for chunk in samples.latents[: pairs + 1].split(self.chunk)
            ]
        everything = to_uint8(torch.cat(pictures))
        self.sources, self.givers = everything[:pairs], everything[1:]
        self.features = {PROXY_SEGMENTER: network_features(pipeline.segmenter), **features}

    def evaluate(self, strengths: list[float], seed: int = 0) -> Evaluation:
        """Evaluate label maps at each style strength, with chance and upper bound."""
        noise = np.random.default_rng(seed).normal(0, NOISE_LEVELS, self.givers.shape)
        noised = (self.givers + noise).round().clip(0, 255).astype(np.uint8)
        # Rolled by two: neither the sample the mask comes from nor the style's source.
        rows = {
            "chance": self._row(np.roll(self.givers, 2, axis=0)),
            "upper bound": self._row(noised),
        }
        results = {f"style strength {strength:g}": self.synthesize(strength) for strength in strengths}
        rows |= {name: self._row(pictures) for name, pictures in results.items()}
        return Evaluation(self.pairs, rows, measure(self.sources, results, self.features))

    def evaluate_conditions(self, strength: float) -> tuple[Evaluation, dict[str, Image.Image]]:
        """Evaluate every other kind of condition; with sheets of these and of drawings made by hand."""
        asked = held_out_conditions(self.config, self.pipeline, self.wanted, self.givers)
        made = [pictures_for(self.pipeline, one, self.latents, strength) for one in asked]
        results = dict(zip((one.name for one in asked), made, strict=True))
        rows = {name: self._row(pictures) for name, pictures in results.items()}
        sheets = {"conditions": conditions_sheet(self.config, asked, made, self.sources)}
        if self.pipeline.reader is not None or self.pipeline.completer is not None:
            sheets["by_hand"] = by_hand_sheet(self.config, self.pipeline, self.latents, strength)
        return Evaluation(self.pairs, rows, measure(self.sources, results, self.features)), sheets

    def evaluate_inverter(self, photographs: NDArray[np.uint8] | None = None) -> dict[str, Reconstruction]:
        """How faithfully the styles' own pictures and photographs, uint8 `[N, H, W, 3]`, come back."""
        if self.pipeline.inverter is None:
            return {}
        rows = {"held-out pictures of the generator": reconstruction(self.pipeline, self.sources)}
        if photographs is not None:
            rows["photographs"] = reconstruction(self.pipeline, photographs)
        return rows

    def synthesize(self, strength: float) -> NDArray[np.uint8]:
        """Pictures of all pairs, uint8 `[pairs, H, W, 3]`."""
        return synthesize(self.pipeline, torch.from_numpy(self.wanted), self.latents, strength)

    def sheet(self, strength: float) -> Image.Image:
        """Label maps (rows) by styles (columns); the first row shows the styles themselves."""
        masks = self.samples.labels[20 : 20 + SHEET_MASKS]
        styles = self.samples.latents[:SHEET_STYLES]
        with torch.inference_mode():
            own = to_uint8(self.pipeline.head(styles).pictures)
        blank = np.zeros_like(own[:1])
        rows = [np.concatenate([blank, own])]
        for mask in masks:
            pictures = synthesize(self.pipeline, mask.expand(SHEET_STYLES, -1, -1), styles, strength)
            rows.append(np.concatenate([paint_labels(mask[None], self.config.palette), pictures]))
        return contact_sheet([from_uint8(row) for row in rows], cell=128)

    def worst(self, strength: float) -> Image.Image:
        """The pairs with the lowest pixel accuracy: label maps, styles, results, what is read off them."""
        pictures = self.synthesize(strength)
        read, _ = run_labeller(self.config.data.labeller, pictures, self.python)
        lowest = (read == self.wanted).mean((1, 2)).argsort()[:SHEET_WORST]
        masks, labels = (paint_labels(maps[lowest], self.config.palette) for maps in (self.wanted, read))
        shown = from_uint8(self.sources[lowest]), from_uint8(pictures[lowest])
        return contact_sheet([masks, *shown, labels], cell=128)

    def dial(self) -> Image.Image:
        """Label map, style, and results at style strengths from 0 to 1, a row for each of several pairs."""
        chosen = slice(0, SHEET_MASKS)
        maps, latents = torch.from_numpy(self.wanted[chosen]), self.latents[chosen]
        columns: list[NDArray[np.uint8]] = [paint_labels(maps, self.config.palette), self.sources[chosen]]
        columns += [synthesize(self.pipeline, maps, latents, strength) for strength in DIAL]
        grid: NDArray[np.uint8] = np.stack(columns, axis=1)
        return contact_sheet([from_uint8(grid[row]) for row in range(len(grid))], cell=128)

    def _row(self, pictures: NDArray[np.uint8]) -> Row:
        classes = len(self.config.palette)
        read, detected = run_labeller(self.config.data.labeller, pictures, self.python)
        error = style_error(
            self.sources[detected], self.source_labels[detected], pictures[detected], read[detected], classes
        )
        return Row(float(detected.mean()), agreement(self.wanted, read, classes, detected), error)


def synthesize(
    pipeline: SynthesisPipeline, labels: Tensor, latents: Tensor, strength: float
) -> NDArray[np.uint8]:
    """Pictures, uint8 `[N, H, W, 3]`, for label maps `[N, H, W]` and latents `[N, latent_dim]`."""
    chunk = chunk_size(pipeline.generator.image_size, CHUNK)
    chunks = [
        to_uint8(pipeline(some_labels, some_latents, torch.full((len(some_latents), 1), strength)))
        for some_labels, some_latents in zip(labels.split(chunk), latents.split(chunk), strict=True)
    ]
    return np.concatenate(chunks)


def as_markdown(evaluation: Evaluation, config: PackConfig) -> str:
    """The evaluation as Markdown tables."""
    lines = [
        f"{evaluation.pairs} held-out pairs.",
        "",
        "| | faces found | accuracy | mIoU | style error (0-255) |",
        "|---|---|---|---|---|",
    ]
    for name, row in evaluation.rows.items():
        quality = row.agreement
        lines.append(
            f"| {name} | {row.detected:.3f} | {quality.accuracy:.3f} | {quality.miou:.3f} "
            f"| {row.style_error:.1f} |"
        )
    lines += [
        "",
        "IoU by class:",
        "",
        f"| | {' | '.join(config.palette.names)} |",
        "|---" * (len(config.palette) + 1) + "|",
    ]
    for name, row in evaluation.rows.items():
        cells = ["" if value is None else f"{value:.2f}" for value in row.agreement.iou]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(distances_as_markdown(evaluation.distances))
    if evaluation.reconstructions:
        lines += ["", "What comes back through the inverter:", ""]
        lines.append(reconstructions_as_markdown(evaluation.reconstructions))
    return "\n".join(lines)
