"""The stages of a pack in the order of their needs: what each starts from, its runs, and what it writes.

Which stages there are, their order and plans, is said by `training.sis_ug.stages.STAGES` and
`training.sis_ug.plan`; packs of GroupDNet have `styles` and, with folders of their own, `judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.config.packs import pack_folder
from training.config.weights import weights_path
from training.groupdnet import judging
from training.groupdnet.config import SamplesSection, StylesConfig
from training.groupdnet.loops.judge import PairJudgeTrainer
from training.groupdnet.loops.label_segmenter import PairSegmenterTrainer
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.stage import EXPECTATION, NETWORK, NOTES, PRIOR, train_styles
from training.runs.options import RunOptions
from training.sis_ug import stages
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import (
    JUDGE,
    LABEL_SEGMENTER,
    UNTUNED_REARRANGER,
    served_rearranger,
)
from training.sis_ug.plan import plan_of, sections_of

STYLES = "styles"
AnyConfig = PackConfig | StylesConfig


@dataclass(frozen=True, slots=True)
class PackStage:
    """One stage of a pack.

    Attributes:
        name: as `maskweave train` has it.
        needs: gives the files of weights that it starts from; asked when its turn has come.
        runs: steps by the name of the run.
        writes: the files of weights that it leaves.
        section: of the configuration, with its batches.
        depends_on: what of the configuration its result depends on.
        train: does it.
        notes: files below the pack's runs that say what of it is done, besides checkpoints.
    """

    name: str
    needs: Callable[[], tuple[Path, ...]]
    runs: Mapping[str, int]
    writes: tuple[Path, ...]
    section: str
    depends_on: Mapping[str, Any]
    train: Callable[[RunOptions], None]
    notes: tuple[str, ...] = ()


def pack_stages(config: AnyConfig, folder: Path) -> list[PackStage]:
    """All stages that a pack has, in the order in which they can be trained from nothing.

    Args:
        config: the pack's.
        folder: the pack's.

    Raises:
        ValueError: if the configuration has no training, as in an imported pack.
    """
    if isinstance(config, StylesConfig):
        return _of_groupdnet(config, folder)
    # A stage has the name of its section; those that a pack can do without are optional.
    names = (name for name in stages.STAGES if getattr(config, name) is not None)
    return [_of_sis_ug(config, folder, name) for name in names]


def _of_sis_ug(config: PackConfig, folder: Path, name: str) -> PackStage:
    plan = plan_of(config, name)

    def needs() -> tuple[Path, ...]:
        # The inverter is trained against the rearranger that is served.
        served = served_rearranger(folder) if name == "inversion" else UNTUNED_REARRANGER
        found = (served if each == UNTUNED_REARRANGER else each for each in plan.weights)
        return tuple(weights_path(folder, each) for each in found)

    return PackStage(
        name,
        needs,
        {run: section.steps for run, section in plan.runs.items()},
        tuple(weights_path(folder, each) for each in plan.writes),
        name,
        sections_of(config, name),
        partial(stages.STAGES[name], config, folder),
    )


def _of_groupdnet(config: StylesConfig, folder: Path) -> list[PackStage]:
    training, network = config.needed_training, config.network
    runs = {StylesTrainer.name: training.steps}
    written = [NETWORK, *([] if network.expectation == "none" else [EXPECTATION]), PRIOR]
    needed: tuple[Path, ...] = ()
    if isinstance(config.data, SamplesSection):
        needed = (weights_path(pack_folder(config.data.pack), LABEL_SEGMENTER),)
    else:
        assert training.judge is not None  # as the configuration has checked
        runs = {PairSegmenterTrainer.name: training.judge.steps, **runs}
        written.insert(0, LABEL_SEGMENTER)
    values = config.model_dump(mode="json")
    data = {name: values[name] for name in ("data", "palette")}
    found = [
        PackStage(
            STYLES,
            lambda: needed,
            runs,
            tuple(weights_path(folder, each) for each in written),
            "training",
            data | {"network": values["network"], "training": values["training"]},
            partial(train_styles, config, folder),
            (f"{StylesTrainer.name}/{NOTES}",),
        )
    ]
    if config.judge is not None:
        found.append(
            PackStage(
                JUDGE,
                lambda: (),
                {PairJudgeTrainer.name: config.judge.steps},
                (weights_path(folder, JUDGE),),
                JUDGE,
                data | {"judge": values["judge"]},
                partial(judging.train_judge, config, folder),
            )
        )
    return found
