"""Builds a repository's plans on this machine, each with its manifest, and enters them in the configs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from export.config_file import CONFIG, read_config_file, rendered
from export.plans.builder import build_plan, tensorrt_version
from export.plans.machine import MachineError, gpu_compute_capabilities
from export.plans.manifest import Manifest, manifest_of, plan_file, sha256_of
from export.targets import BATCH_PROFILE, GPU_PLAN, PRECISION_PARAMETER

VERSION = "1"
ONNX_FILE = "model.onnx"

Report = Callable[[str], None]


def build_engines(repository: Path, report: Report) -> tuple[Path, ...]:
    """Build a plan for this machine's GPU from every graph of a gpu-plan repository.

    Plans for other GPUs stay where they are, so that one repository can serve a mixed fleet.

    Args:
        repository: as `maskweave export repository --target gpu-plan` writes it.
        report: told lines about the progress.

    Returns:
        The plans.

    Raises:
        BuildError: if TensorRT is missing or cannot build a plan.
        MachineError: if there is no GPU, or more than one kind.
        FileNotFoundError: if the repository holds no graph for plans.
        ValueError: if a config cannot be read.
    """
    version = tensorrt_version()
    capability, *others = gpu_compute_capabilities()
    if others:
        # TensorRT builds for one of them, and which one is up to CUDA.
        listed = ", ".join((capability, *others))
        raise MachineError(
            f"this machine has GPUs of compute capability {listed}: build where only one kind can be seen"
        )
    folders = [file.parent for file in sorted(repository.glob(f"*/{CONFIG}")) if _takes_plans(file)]
    if not folders:
        raise FileNotFoundError(
            f"{repository}: no model has backend {GPU_PLAN.backend!r}; "
            f"export one: maskweave export repository --target {GPU_PLAN.name}"
        )
    cache = repository.parent / f".{repository.name}-sm{capability.replace('.', '')}-tensorrt{version}.timing"
    plans: list[Path] = []
    for number, folder in enumerate(folders, 1):
        report(
            f"{folder.name} ({number} of {len(folders)}), compute capability {capability}, TensorRT {version}"
        )
        plans.append(_build(folder, capability, version, cache, report))
    return tuple(plans)


def _takes_plans(config: Path) -> bool:
    return bool(read_config_file(config).backend == GPU_PLAN.backend)


def _build(folder: Path, capability: str, version: str, cache: Path, report: Report) -> Path:
    graph, plan = folder / VERSION / ONNX_FILE, folder / VERSION / plan_file(capability)
    config = read_config_file(folder / CONFIG)
    graph_sha256 = sha256_of(graph)
    built = build_plan(graph, BATCH_PROFILE, cache, report)
    manifest_of(plan).unlink(missing_ok=True)  # never an old manifest beside a new plan
    plan.write_bytes(built.content)
    Manifest(
        onnx_sha256=graph_sha256,
        plan_sha256=sha256_of(plan),
        tensorrt_version=version,
        compute_capability=capability,
        gpu=_gpu_name(),
        precision=config.parameters[PRECISION_PARAMETER].string_value,
        profiles=built.profiles,
        build_seconds=round(built.seconds, 1),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
    ).write(manifest_of(plan))
    config.cc_model_filenames[capability] = plan.name
    (folder / CONFIG).write_text(rendered(config))
    report(f"  {plan.name}: {len(built.content) / 1e6:.1f} MB in {built.seconds:.0f} s")
    return plan


def _gpu_name() -> str:
    query = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[0].strip()
