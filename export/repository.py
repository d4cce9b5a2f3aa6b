"""Writes a pack's stages and ensembles into a Triton model repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from export.model_config import ensemble_config, stage_config
from export.onnx_graph import EXPORT_BATCH, write_onnx
from export.parity import parity_errors
from export.stages import Stage, example_inputs, sis_ug_stages
from training.config import PackConfig
from training.pipeline import SynthesisPipeline

VERSION = "1"
"""Directory of the served version; the weights' own version is the pack's."""
LABEL_MAP_CONDITION = "label_map"
PARITY_BATCHES = (1, 5)

Report = Callable[[str], None]


def write_repository(
    config: PackConfig, pipeline: SynthesisPipeline, repository: Path, report: Report = lambda line: None
) -> tuple[Stage, ...]:
    """Export a SIS-UG pack. Nothing is written unless every graph computes what PyTorch computes.

    Args:
        config: of the pack.
        pipeline: its trained networks.
        repository: the model repository's folder; files of models of the same names are replaced.
        report: told a line for each graph and for each comparison.

    Returns:
        The stages written.

    Raises:
        ValueError: if a graph differs from PyTorch by more than rounding; names stage and tensor.
    """
    stages = sis_ug_stages(config, pipeline)
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=f".{repository.name}-") as scratch:
        built = Path(scratch)
        for stage in stages:
            _write_stage(stage, config, built / stage.name, report)
        _write_ensemble(stages, config, built)
        for file in [path for path in sorted(built.rglob("*")) if path.is_file()]:
            target = repository / file.relative_to(built)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    return stages


def _write_stage(stage: Stage, config: PackConfig, folder: Path, report: Report) -> None:
    model = folder / VERSION / "model.onnx"
    write_onnx(stage, example_inputs(stage, EXPORT_BATCH, config), model)
    (folder / "config.pbtxt").write_text(stage_config(stage))
    report(f"{stage.name}: {model.stat().st_size / 1e6:.1f} MB")
    for batch in PARITY_BATCHES:
        for error in parity_errors(stage, model, example_inputs(stage, batch, config)):
            found = f"{stage.name}, batch {batch}: {error.tensor} is off by {error.size:.1e}"
            if error.excessive:
                raise ValueError(f"{found}, allowed are {error.allowed:.1e}")
            report(found)


def _write_ensemble(stages: tuple[Stage, ...], config: PackConfig, repository: Path) -> None:
    name = f"{config.pack.name}_{LABEL_MAP_CONDITION}"
    folder = repository / name
    version = folder / VERSION
    version.mkdir(parents=True)
    (version / ".gitkeep").touch()  # Triton wants the folder, git keeps no empty ones
    (folder / "config.pbtxt").write_text(ensemble_config(name, LABEL_MAP_CONDITION, stages, config))
    (folder / "labels.txt").write_text("".join(f"{entry}\n" for entry in config.palette.names))
