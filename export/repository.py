"""Writes a pack's stages and ensembles into a Triton model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from export.model_config import ensemble_config, stage_config
from export.onnx_graph import EXPORT_BATCH, write_onnx
from export.stages import Stage, example_inputs, sis_ug_stages
from training.config import PackConfig
from training.pipeline import SynthesisPipeline

VERSION = "1"
"""Directory of the served version; the weights' own version is the pack's."""
LABEL_MAP_CONDITION = "label_map"


def write_repository(
    config: PackConfig,
    pipeline: SynthesisPipeline,
    repository: Path,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Stage, ...]:
    """Export a SIS-UG pack.

    Args:
        config: of the pack.
        pipeline: its trained networks.
        repository: the model repository's folder; models of the same names are replaced.
        report: told a line for each file written.

    Returns:
        The stages written.
    """
    stages = sis_ug_stages(config, pipeline)
    for stage in stages:
        folder = repository / stage.name
        model = folder / VERSION / "model.onnx"
        write_onnx(stage, example_inputs(stage, EXPORT_BATCH, config), model)
        (folder / "config.pbtxt").write_text(stage_config(stage))
        report(f"{model}: {model.stat().st_size / 1e6:.1f} MB")
    name = f"{config.pack.name}_{LABEL_MAP_CONDITION}"
    folder = repository / name
    version = folder / VERSION
    version.mkdir(parents=True, exist_ok=True)
    (version / ".gitkeep").touch()  # Triton wants the folder, git keeps no empty ones
    (folder / "config.pbtxt").write_text(ensemble_config(name, LABEL_MAP_CONDITION, stages, config))
    (folder / "labels.txt").write_text("".join(f"{entry}\n" for entry in config.palette.names))
    report(f"{folder / 'config.pbtxt'}: ensemble of {len(stages)} stages")
    return stages
