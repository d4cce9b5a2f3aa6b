"""Writes a pack's stages and ensembles into a Triton model repository."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from export.config_file import CONFIG
from export.exported import ExportedPack, ServedCondition
from export.fused_graph import write_fused
from export.halved_weights import with_halved_weights
from export.mixed_precision import in_precision
from export.model_config import ensemble_config, stage_config
from export.onnx_graph import EXPORT_BATCH, write_onnx
from export.operators import operator_findings
from export.parity import parity_errors
from export.stages import Stage, example_inputs
from export.targets import CPU, GPU_PLAN, LAYOUTS, Target, checked_precision
from export.uint8_edges import with_uint8_at_edges

VERSION = "1"
"""Directory of the served version; the weights' own version is the pack's."""
ONNX_FILE = "model.onnx"
PARITY_BATCHES = (1, 5)

Report = Callable[[str], None]


def write_repository(
    pack: ExportedPack,
    repository: Path,
    report: Report = lambda line: None,
    *,
    target: Target = CPU,
    layouts: tuple[str, ...] = LAYOUTS[:1],
    precision: str | None = None,
) -> tuple[str, ...]:
    """Export a pack. Nothing is written unless every graph computes what PyTorch computes.

    Args:
        pack: trained, as its method exports it.
        repository: the model repository's folder; files of models of the same names are replaced.
        report: told a line for each graph and for each comparison.
        target: where the repository is to run.
        layouts: which of `LAYOUTS` to write; they may stand side by side.
        precision: what graphs compute in, one of the target's; None for its default. Graphs are compared with
            PyTorch in FP32, before that; `maskweave export verify` compares images after it.

    Returns:
        Names of the models written.

    Raises:
        ValueError: if a graph differs from PyTorch by more than rounding, which names stage and tensor, if a
            GPU runtime would not take it, or if the target has no such precision.
    """
    precision = checked_precision(target, precision)
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=f".{repository.name}-") as scratch:
        writer = _Writer(pack, Path(scratch), target, precision, report)
        for stage in pack.graphs if "ensemble" in layouts else pack.aside:
            writer.stage(stage)
        for condition in pack.conditions:
            if "ensemble" in layouts:
                writer.ensemble(condition)
            if "fused" in layouts:
                writer.fused(condition)
        for file in [path for path in sorted(writer.folder.rglob("*")) if path.is_file()]:
            place = repository / file.relative_to(writer.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    return tuple(writer.written)


class _Writer:
    """Builds models in a folder of its own.

    Args:
        pack: what is exported.
        scratch: an empty folder.
        target: where the models are to run.
        precision: what graphs compute in.
        report: told what was written.

    Attributes:
        folder: where the models are.
        written: their names.
    """

    def __init__(
        self, pack: ExportedPack, scratch: Path, target: Target, precision: str, report: Report
    ) -> None:
        self.folder, self.written = scratch / "models", list[str]()
        self._graphs = scratch / "graphs"
        self._pack, self._target, self._precision, self._report = pack, target, precision, report

    def ensemble(self, condition: ServedCondition) -> None:
        name = condition.name
        version = self.folder / name / VERSION
        version.mkdir(parents=True)
        (version / ".gitkeep").touch()  # Triton wants the folder, git keeps no empty ones
        (self.folder / name / CONFIG).write_text(ensemble_config(condition))
        self._labels(name)
        self.written.append(name)

    def fused(self, condition: ServedCondition) -> None:
        write_fused(condition, self._graph_of, self._place_of(condition.fused))
        self._finish(condition.fused, condition.parameters)
        self._labels(condition.fused.name)

    def stage(self, stage: Stage) -> None:
        shutil.copy(self._graph_of(stage), self._place_of(stage))
        self._finish(stage, {})

    def _graph_of(self, stage: Stage) -> Path:
        """A stage's graph as PyTorch's exporter gives it: each is exported once."""
        file = self._graphs / f"{stage.name}.onnx"
        if not file.exists():
            write_onnx(stage, example_inputs(stage, EXPORT_BATCH), file)
        return file

    def _place_of(self, stage: Stage) -> Path:
        folder = self.folder / stage.name / VERSION
        folder.mkdir(parents=True)
        return folder / ONNX_FILE

    def _finish(self, stage: Stage, parameters: Mapping[str, str]) -> None:
        """Make of an exported graph what is served, prove it and describe it."""
        file = self.folder / stage.name / VERSION / ONNX_FILE
        if self._target.gpu:
            onnx.save(with_uint8_at_edges(onnx.load(file)), file)
        elif stage.halved and self._precision == "fp32":
            onnx.save(with_halved_weights(onnx.load(file)), file)
        self._prove(stage, file)
        if self._precision != "fp32":
            onnx.save(in_precision(onnx.load(file), self._precision), file)
        if self._target.gpu:
            self._require_operators(stage, file)
        self._report(f"{stage.name}: {file.stat().st_size / 1e6:.1f} MB, {self._precision}")
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        text = stage_config(stage, self._target, self._precision, sha256, parameters)
        (self.folder / stage.name / CONFIG).write_text(text)
        self.written.append(stage.name)

    def _prove(self, stage: Stage, file: Path) -> None:
        for batch in PARITY_BATCHES:
            for error in parity_errors(stage, file, example_inputs(stage, batch)):
                found = f"{stage.name}, batch {batch}: {error.tensor} is off by {error.size:.1e}"
                if error.excessive:
                    raise ValueError(f"{found}, allowed are {error.allowed:.1e}")
                self._report(found)

    def _require_operators(self, stage: Stage, file: Path) -> None:
        by_tensorrt_alone = self._target == GPU_PLAN
        if found := operator_findings(onnx.load(file), only_tensorrt=by_tensorrt_alone):
            raise ValueError(f"{stage.name}: {found[0]} ({len(found)} such findings)")

    def _labels(self, name: str) -> None:
        text = "".join(f"{entry}\n" for entry in self._pack.palette.names)
        (self.folder / name / "labels.txt").write_text(text)
