"""The stage `students`: teach each student, then tune mapper and rearranger in the cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from training.config.batches import split_batches
from training.config.weights import averaged_weights, load_weights, save_weights
from training.data.labelled import LabelledSamples, load_split
from training.networks.unet import frozen
from training.runs.loop import Trainer, train
from training.runs.optimization import place
from training.runs.options import RunOptions
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.loops.cycle import CycleTrainer, Judges
from training.sis_ug.networks.build import label_segmenter
from training.sis_ug.networks.discriminator import SegmenterDiscriminator
from training.sis_ug.pipeline import (
    LEAN_MAPPER,
    LEAN_REARRANGER,
    PROXY_READER,
    load_pipeline,
)
from training.sis_ug.students.build import load_low_rank, proxy_reader
from training.sis_ug.students.loops.mapper import MapperTrainer
from training.sis_ug.students.loops.reader import ReaderTrainer
from training.sis_ug.students.loops.rearranger import RearrangerTrainer

Student = Literal["reader", "mapper", "rearranger", "cycle"]

FOLDER = "students"


def train_students(
    config: PackConfig, folder: Path, options: RunOptions, only: tuple[Student, ...] = ()
) -> None:
    """Train the students of a pack whose teachers are trained.

    Writes `proxy_reader`, `lean_mapper` and `lean_rearranger`, which are served from then on; the teachers'
    files stay as they are.

    Args:
        config: of the pack.
        folder: the pack's.
        options: of the runs.
        only: which students, or the cycle that tunes mapper and rearranger; all of it if empty.

    Raises:
        FileNotFoundError: if a teacher or, for the cycle alone, a student has not been trained.
        ValueError: if the pack has no section for students.
    """
    students_section(config)
    config = split_batches(config, "students", options.shards)
    options = dataclasses.replace(options, folder=options.folder / FOLDER)
    run = _Run(config, folder, options)
    todo: dict[Student, Callable[[], None]] = {
        "reader": run.reader,
        "mapper": run.mapper,
        "rearranger": run.rearranger,
        "cycle": run.cycle,
    }
    for name, teach in todo.items():
        if not only or name in only:
            torch.manual_seed(options.seed)
            teach()


class _Run:
    def __init__(self, config: PackConfig, folder: Path, options: RunOptions) -> None:
        self.config, self.folder, self.options = config, folder, options
        self.section = students_section(config)
        self.device = torch.device(options.device)
        self.teachers = place(load_pipeline(config, folder, students=False), self.device)
        self.samples: LabelledSamples = load_split(config, self.teachers.generator, "train")

    def reader(self) -> None:
        """Teach the proxy reader."""
        self._train(ReaderTrainer(self.config, self.teachers, self.samples, self.device))
        self._keep(proxy_reader(self.config, self.teachers.generator), ReaderTrainer.name, PROXY_READER)

    def mapper(self) -> None:
        """Teach the lean mapper."""
        trainer = MapperTrainer(self.config, self.teachers, self.samples, self.device)
        self._train(trainer)
        self._keep(trainer.network, MapperTrainer.name, LEAN_MAPPER)

    def rearranger(self) -> None:
        """Teach the lean rearranger."""
        trainer = RearrangerTrainer(self.config, self.teachers, self.samples, self.device)
        self._train(trainer)
        self._keep(trainer.network, RearrangerTrainer.name, LEAN_REARRANGER)

    def cycle(self) -> None:
        """Tune lean mapper and rearranger together, as their teachers were; see `training.loops.cycle`."""
        generator, segmenter = self.teachers.generator, self.teachers.segmenter
        judge = place(
            frozen(load_weights(label_segmenter(self.config), self.folder, "label_segmenter")), self.device
        )
        mapper = load_low_rank(self.teachers.mapper, self.folder, LEAN_MAPPER)
        arranger = load_low_rank(self.teachers.rearranger, self.folder, LEAN_REARRANGER)
        discriminator = load_weights(SegmenterDiscriminator(segmenter), self.folder, "discriminator")
        cycled = self.config.mapper.model_copy(update={"cycle": self.section.cycle})
        trainer = CycleTrainer(
            self.config.model_copy(update={"mapper": cycled}),
            generator,
            Judges(segmenter, judge),
            (mapper, arranger, discriminator),
            self.samples,
            self.device,
        )
        self._train(trainer)
        self._keep(mapper, trainer.name, LEAN_MAPPER, "mapper_average")
        self._keep(arranger, trainer.name, LEAN_REARRANGER, "rearranger_average")

    def _train(self, trainer: Trainer) -> None:
        train(trainer, dataclasses.replace(self.options, folder=self.options.folder / trainer.name))

    def _keep(self, network: nn.Module, run: str, name: str, part: str = "average") -> None:
        """Put a finished run's averaged weights into the pack's folder."""
        averaged = averaged_weights(network, self.options.folder / run / "checkpoint.pt", part)
        if self.options.distributed.is_main:
            save_weights(averaged, self.folder, name)
        self.options.distributed.barrier()
