"""The experiment: how much worse do images follow their label maps when only N samples were labelled?

For each N and draw: a block of training samples is the user's stock, N of it are chosen and labelled (by the
independent labeller, in the user's place), the few-shot segmenter learns from these alone and labels further
samples, and a mapper learns from those. The rearranger is the one that never saw a label. Beside it stand the
latent search, with the same segmenter, and the same mapper taught by the labeller itself.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.config.weights import load_weights
from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import LabelledSamples, load_split, run_labeller
from training.data.samples import latents_of, to_uint8
from training.evaluation.metrics import agreement
from training.evaluation.sis_ug import Evaluator, synthesize
from training.networks.unet import frozen
from training.runs.loop import train
from training.runs.options import RunOptions
from training.sis_ug.config import PackConfig, few_shot_section
from training.sis_ug.few_shot.choice import layouts, medoids
from training.sis_ug.few_shot.labelling import Labelling
from training.sis_ug.few_shot.latent_search import search_latents
from training.sis_ug.few_shot.segmenter import FewShotSegmenter
from training.sis_ug.loops.mapper import MapperTrainer
from training.sis_ug.networks.build import rearranger
from training.sis_ug.networks.mapper import LabelMapMapper
from training.sis_ug.pipeline import SynthesisPipeline

SEARCHED = 32
"""Pairs that latents are searched for."""
SEARCH_STEPS = 40
SHOWN = 8
"""Pairs on a run's sheet."""
ALL_LABELS = 0
"""In the place of N: every sample comes with the labeller's own map."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well images agree with the label maps wanted; see `training.evaluation.metrics.Agreement`."""

    accuracy: float
    miou: float


@dataclass(frozen=True, slots=True)
class Result:
    """Of one N and draw.

    Attributes:
        shots: N, or ALL_LABELS.
        draw: which.
        seeds: of the samples that were labelled.
        segmenter: its label maps of held-out samples, against the labeller's.
        synthesis: images made from label maps.
        search: the baseline's images.
    """

    shots: int
    draw: int
    seeds: tuple[int, ...]
    synthesis: Score
    segmenter: Score | None = None
    search: Score | None = None


class Experiment:
    """Runs draws, each of which leaves a file and is not run again.

    Args:
        config: of the pack.
        folder: the pack's.
        pipeline: the trained pack; its mapper and rearranger are replaced.
        options: of the runs; its folder is where everything goes.
        draws: how many there will be, each with a block of the training samples for its stock.
        pairs: held-out pairs to evaluate on.
        python: as for `run_labeller`.

    Raises:
        FileNotFoundError: if samples or networks are missing.
        ValueError: if the pack has no section [few_shot], or there are fewer pairs or training samples.
    """

    def __init__(
        self,
        config: PackConfig,
        folder: Path,
        pipeline: SynthesisPipeline,
        options: RunOptions,
        draws: int,
        pairs: int,
        python: Path | None = None,
    ) -> None:
        self.section = few_shot_section(config)
        mapper = config.mapper.model_copy(update={"supervised": self.section.mapper})
        self.config = config.model_copy(update={"mapper": mapper})
        self.options, self.python = options, python
        self.evaluator = Evaluator(config, pipeline, pairs, python)
        self.labelling = Labelling(config, pipeline.generator, folder)
        self.stock = load_split(config, pipeline.generator, "train")
        if (needed := draws * self.section.candidates) > len(self.stock):
            raise ValueError(f"draws: {draws} need {needed} training samples, there are {len(self.stock)}")
        untuned = load_weights(rearranger(config, pipeline.generator), folder, "rearranger")
        self.pipeline = SynthesisPipeline(
            config, pipeline.generator, pipeline.segmenter, untuned, pipeline.mapper
        )

    def run(self, shots: int, draw: int) -> Result:
        """One N and draw, or what its file says."""
        path = self._folder(shots, draw) / "result.json"
        if path.exists():
            return _read(path)
        result = self._all_labels(draw) if shots == ALL_LABELS else self._few(shots, draw)
        path.write_text(json.dumps(asdict(result), indent=1))
        return result

    def sheet(self, shots: list[int]) -> Image.Image:
        """Label maps and styles of the first pairs, and below what draw 0 made of them for each N."""
        wanted = paint_labels(self.evaluator.wanted[:SHOWN], self.config.palette)
        rows = [wanted, self.evaluator.sources[:SHOWN]]
        for count in shots:
            with np.load(self._folder(count, 0) / "images.npz") as stored:
                rows += [stored[name] for name in ("search", "synthesis") if name in stored]
        return contact_sheet(rows)

    def handful(self, shots: int, draw: int) -> LabelledSamples:
        """The samples of a draw that are labelled: those that stand best for a block of the stock."""
        size = self.section.candidates
        block = np.arange(draw * size, (draw + 1) * size)
        pipeline, latents = self.pipeline, self.stock.latents[block]
        points = layouts(pipeline.generator, pipeline.segmenter, pipeline.clusters, latents)
        chosen = block[medoids(points, shots, seed=draw)]
        return LabelledSamples(
            self.stock.seeds[chosen], self.stock.latents[chosen], self.stock.labels[chosen]
        )

    def _few(self, shots: int, draw: int) -> Result:
        handful = self.handful(shots, draw)
        options = self._options(shots, draw)
        segmenter = self.labelling.learn(handful.latents, handful.labels[:], options)
        images = {"synthesis": self._made_by(self._taught_by(segmenter, options))}
        images["search"] = self._searched(segmenter)
        scores = self._scores(images, options.folder)
        read = self.labelling.label(segmenter, self._givers())
        seeds = tuple(int(seed) for seed in handful.seeds)
        return Result(shots, draw, seeds, scores["synthesis"], self._score(read), scores["search"])

    def _all_labels(self, draw: int) -> Result:
        samples = self.stock
        last = slice(len(samples) - self.section.samples, None)
        taught = LabelledSamples(samples.seeds[last], samples.latents[last], samples.labels[last])
        options = self._options(ALL_LABELS, draw)
        images = {"synthesis": self._made_by(self._mapper(taught, options))}
        return Result(ALL_LABELS, draw, (), self._scores(images, options.folder)["synthesis"])

    def _taught_by(self, segmenter: FewShotSegmenter, options: RunOptions) -> LabelMapMapper:
        """A mapper that learns from what a segmenter says of the last training samples, faces or not."""
        seeds = np.array(self.config.data.seeds("train"))[-self.section.samples :]
        latents = latents_of(seeds.tolist(), self.pipeline.generator.latent_dim, self.config.latent.scale)
        labels = torch.from_numpy(self.labelling.label(segmenter, latents))
        return self._mapper(LabelledSamples(seeds, latents, labels), options)

    def _mapper(self, samples: LabelledSamples, options: RunOptions) -> LabelMapMapper:
        torch.manual_seed(options.seed)
        trainer = MapperTrainer(
            self.config, self.pipeline.generator, self.pipeline.segmenter, samples, torch.device("cpu")
        )
        train(trainer, dataclasses.replace(options, folder=options.folder / trainer.name))
        mapper = trainer.average.module
        assert isinstance(mapper, LabelMapMapper)
        mapper.network = frozen(mapper.network)
        return mapper

    def _made_by(self, mapper: LabelMapMapper) -> NDArray[np.uint8]:
        self.pipeline.mapper = mapper
        strength = self.config.mapper.style_strength.default
        wanted = torch.from_numpy(self.evaluator.wanted)
        return synthesize(self.pipeline, wanted, self.evaluator.latents, strength)

    def _searched(self, segmenter: FewShotSegmenter) -> NDArray[np.uint8]:
        found = search_latents(
            self.labelling.viewer,
            segmenter,
            torch.from_numpy(self.evaluator.wanted[:SEARCHED]),
            self.evaluator.latents[:SEARCHED],
            self.config.latent.scale,
            SEARCH_STEPS,
        )
        with torch.inference_mode():
            return to_uint8(self.pipeline.generator.images(found))

    def _givers(self) -> Tensor:
        """Latents of the samples that the wanted label maps are of."""
        return self.evaluator.samples.latents[1 : self.evaluator.pairs + 1]

    def _scores(self, images: dict[str, NDArray[np.uint8]], folder: Path) -> dict[str, Score]:
        """Of images of the first pairs, by name; keeps some of them for the sheet."""
        shown: dict[str, Any] = {name: some[:SHOWN] for name, some in images.items()}
        np.savez_compressed(folder / "images.npz", **shown)
        together = np.concatenate(list(images.values()))
        read, detected = run_labeller(self.config.data.labeller, together, self.python)
        scores: dict[str, Score] = {}
        first = 0
        for name, some in images.items():
            part = slice(first, first + len(some))
            scores[name] = self._score(read[part], detected[part])
            first += len(some)
        return scores

    def _score(self, read: NDArray[np.uint8], detected: NDArray[np.bool_] | None = None) -> Score:
        quality = agreement(self.evaluator.wanted[: len(read)], read, len(self.config.palette), detected)
        return Score(quality.accuracy, quality.miou)

    def _folder(self, shots: int, draw: int) -> Path:
        return self.options.folder / f"n{shots:02d}-draw{draw}"

    def _options(self, shots: int, draw: int) -> RunOptions:
        folder = self._folder(shots, draw)
        folder.mkdir(parents=True, exist_ok=True)
        return dataclasses.replace(self.options, folder=folder, seed=draw)


def _read(path: Path) -> Result:
    stored = json.loads(path.read_text())
    scores = {
        name: None if stored[name] is None else Score(**stored[name])
        for name in ("synthesis", "segmenter", "search")
    }
    assert scores["synthesis"] is not None
    return Result(stored["shots"], stored["draw"], tuple(stored["seeds"]), **scores)  # type: ignore[arg-type]
