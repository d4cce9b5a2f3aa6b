"""What training a stage of a SIS-UG pack would do, told without doing it: needs, runs, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config.batches import split_batches
from training.config.sections import ClassifierSection
from training.config.weights import weights_path
from training.data.labelled import split_path
from training.runs.checkpoints import steps_done
from training.runs.updates import Precision
from training.sis_ug.config import (
    PackConfig,
    inversion_section,
    judge_section,
    reader_section,
    students_section,
)
from training.sis_ug.loops.cycle import cycle_name
from training.sis_ug.pipeline import (
    INVERTER,
    JUDGE,
    LEAN_MAPPER,
    LEAN_REARRANGER,
    PROXY_READER,
    TUNED_REARRANGER,
    UNTUNED_REARRANGER,
)
from training.sis_ug.sections import CycleSection, InversionSection, RearrangerSection
from training.sis_ug.stages import Cycle
from training.sis_ug.students.loops.mapper import MapperTrainer
from training.sis_ug.students.loops.reader import ReaderTrainer
from training.sis_ug.students.loops.rearranger import RearrangerTrainer
from training.sis_ug.students.stage import FOLDER, Student

_SECTIONS: dict[str, tuple[str, ...]] = {
    "proxies": ("proxies",),
    "rearranger": ("proxies", "rearranger"),
    "mapper": ("proxies", "rearranger", "mapper", "data"),
    "sketch": ("sketch", "data"),
    "scribble": ("scribble", "data"),
    "inversion": ("proxies", "rearranger", "inversion"),
    JUDGE: ("judge", "data"),
    "students": ("proxies", "rearranger", "mapper", "students", "data"),
}
"""By stage: of the configuration, besides latent and generator, all that its result depends on."""

Steps = ClassifierSection | CycleSection | InversionSection | RearrangerSection


@dataclass(frozen=True, slots=True)
class Plan:
    """Of a stage.

    Attributes:
        weights: networks of the pack that it starts from, by the names of their files.
        split: labelled samples that it reads; None: it draws its own.
        runs: sections with steps and batch, by the name of the run.
        writes: networks that it leaves in the pack's folder.
    """

    weights: tuple[str, ...]
    split: str | None
    runs: Mapping[str, Steps]
    writes: tuple[str, ...]


def plan_of(
    config: PackConfig,
    stage: str,
    cycle: Cycle = "labels",
    *,
    keep_rearranger: bool = False,
    only: tuple[Student, ...] = (),
) -> Plan:
    """The plan of a stage, one of `stages.STAGES`.

    Raises:
        ValueError: if the pack has no such section.
    """
    if stage == "students":
        return _plan_of_students(config, only)
    return _plan_of_teachers(config, stage, cycle, keep_rearranger)


def _plan_of_teachers(config: PackConfig, stage: str, cycle: Cycle, keep_rearranger: bool) -> Plan:
    segmenter, mapper = ("proxy_segmenter",), config.mapper
    if stage == "proxies":
        return Plan((), None, {"proxy_segmenter": config.proxies.segmenter}, ("clusters", *segmenter))
    if stage == "rearranger":
        return Plan(segmenter, None, {"rearranger": config.rearranger}, (UNTUNED_REARRANGER, "discriminator"))
    if stage == "inversion":
        inversion = {INVERTER: inversion_section(config)}
        return Plan((*segmenter, UNTUNED_REARRANGER), None, inversion, (INVERTER,))
    if stage == JUDGE:
        return Plan((), JUDGE, {JUDGE: judge_section(config)}, (JUDGE,))
    if stage in ("sketch", "scribble"):
        name = "sketch_reader" if stage == "sketch" else "scribble_completer"
        return Plan((), "train", {name: reader_section(config, stage)}, (name,))
    labels, tune = cycle == "labels", cycle == "labels" and not keep_rearranger
    runs: dict[str, Steps] = {"label_segmenter": mapper.label_segmenter} if labels else {}
    runs["mapper"] = mapper.supervised
    weights: tuple[str, ...] = segmenter
    if cycle != "none":
        runs[cycle_name(labels, tune)] = mapper.cycle
        weights += (UNTUNED_REARRANGER, "discriminator")
    written = (*(("label_segmenter",) if labels else ()), "mapper_label_map")
    return Plan(weights, "train", runs, (*written, *((TUNED_REARRANGER,) if tune else ())))


def _plan_of_students(config: PackConfig, only: tuple[Student, ...]) -> Plan:
    section = students_section(config)
    runs: dict[Student, tuple[str, Steps, tuple[str, ...]]] = {
        "reader": (ReaderTrainer.name, section.reader, (PROXY_READER,)),
        "mapper": (MapperTrainer.name, section.mapper, (LEAN_MAPPER,)),
        "rearranger": (RearrangerTrainer.name, section.rearranger, (LEAN_REARRANGER,)),
        "cycle": (cycle_name(label_judge=True, tune_rearranger=True), section.cycle, ()),
    }
    asked = set(only or runs)
    weights = ["proxy_segmenter", "mapper_label_map", TUNED_REARRANGER]
    written = [name for student, (_, _, names) in runs.items() if student in asked for name in names]
    if "cycle" in asked:
        tuned = [LEAN_MAPPER, LEAN_REARRANGER]
        weights += ["label_segmenter", "discriminator", *(name for name in tuned if name not in written)]
        written += [name for name in tuned if name not in written]
    planned = {f"{FOLDER}/{run}": steps for student, (run, steps, _) in runs.items() if student in asked}
    return Plan(tuple(weights), "train", planned, tuple(written))


def sections_of(config: PackConfig, stage: str, **given: Any) -> dict[str, Any]:
    """What of the configuration a stage's result depends on, as plain values, for JSON.

    Args:
        config: of the pack.
        stage: one of `stages.STAGES`.
        given: what it is called with, as for `plan_of`.
    """
    values = config.model_dump(mode="json")
    sections = {name: values[name] for name in (*_SECTIONS[stage], "latent")}
    if given.get("cycle") == "none":
        del sections["rearranger"]
        for run in ("cycle", "label_segmenter", "style_strength"):
            del sections["mapper"][run]
    sections["generator"] = values["pack"]["generator"]
    return sections if values["stylegan2"] is None else sections | {"stylegan2": values["stylegan2"]}


def report(
    config: PackConfig, plan: Plan, section: str, shards: int, precision: Precision, folder: Path, runs: Path
) -> str:
    """The plan as text: what is there, what is missing, and where each run stands.

    Args:
        config: of the pack.
        plan: of the stage.
        section: of the configuration that its batches stand in, such as "mapper".
        shards: equal parts that each batch is divided into.
        precision: of the run.
        folder: the pack's.
        runs: where its runs are kept.

    Raises:
        ValueError: if a batch cannot be divided so.
    """
    split_batches(config, section, shards)
    rows = []
    for name in plan.weights:
        path = weights_path(folder, name)
        rows.append(("starts from", f"{path}{'' if path.exists() else ' (missing)'}"))
    if plan.split is not None:
        path = split_path(config, plan.split)
        there = "" if path.is_dir() else f" (missing: `maskweave data {config.pack.name}`)"
        rows.append(("labelled samples", f"{len(config.data.seeds(plan.split))}, in {path}{there}"))
    for name, each in plan.runs.items():
        done = steps_done(runs / name)
        rows.append(("run", f"{name}: {each.steps} steps of {each.batch} samples, {done} done"))
    if shards > 1:
        rows.append(("parts of a batch", f"{shards}"))
    rows.append(("precision", precision))
    rows += [("writes", f"{weights_path(folder, name)}") for name in plan.writes]
    return "\n".join(f"{title:<20}{text}" for title, text in rows)
