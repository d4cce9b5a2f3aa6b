"""Refuses plans that this machine must not load: `python3 -m export.plans.check REPOSITORY`.

A plan of another GPU or TensorRT crashes at best; one of an older graph gives wrong images. The command
prints a line for every problem and exits with 1, so that a container's entry point can stop before the server
starts. Plans for GPUs that this machine has not are left alone: it will not load them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.plans.machine import Machine, MachineError, this_machine
from export.plans.manifest import COMPUTE_CAPABILITY, ManifestError, manifest_of, read_manifest, sha256_of

VERSION = "1"
# The exporter's own text is read, so two patterns do, and the protobuf package is not needed.
BACKEND = re.compile(r'^backend:\s*"tensorrt"', re.MULTILINE)
PLAN_OF_GPU = re.compile(r'cc_model_filenames\s*{\s*key:\s*"([^"]+)"\s*value:\s*"([^"]+)"\s*}')
DEFAULT_PLAN = "model.plan"
REMEDY = "build it here: maskweave export engines"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model must not be loaded here."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def refusals(repository: Path, machine: Machine) -> list[Refusal]:
    """Everything that is wrong with the plans a machine would load from a repository, in order.

    Raises:
        FileNotFoundError: if the repository holds no model with plans.
    """
    folders = [file.parent for file in sorted(repository.glob("*/config.pbtxt")) if _has_plans(file)]
    if not folders:
        raise FileNotFoundError(
            f'{repository}: no model has backend: "tensorrt"; '
            "export one: maskweave export repository --target gpu-plan"
        )
    return [refusal for folder in folders for refusal in refusals_of_model(folder, machine)]


def _has_plans(config: Path) -> bool:
    return BACKEND.search(config.read_text(encoding="utf-8")) is not None


def refusals_of_model(folder: Path, machine: Machine) -> Iterator[Refusal]:
    """Everything that is wrong with the plans a machine would load of one model's folder."""
    version, config = folder / VERSION, folder / "config.pbtxt"
    names = dict(PLAN_OF_GPU.findall(config.read_text(encoding="utf-8")))
    if (version / DEFAULT_PLAN).exists():
        yield Refusal(version / DEFAULT_PLAN, "is loaded on any GPU and has no manifest; remove it")
    for capability in machine.compute_capabilities:
        if capability not in names:
            built = ", ".join(sorted(names)) or "none"
            yield Refusal(
                config, f"no plan for compute capability {capability}, there are for {built}; {REMEDY}"
            )
            continue
        plan = version / names[capability]
        for reason in _reasons(plan, version / "model.onnx", capability, machine):
            yield Refusal(plan, f"{reason}; {REMEDY}")


def _reasons(plan: Path, graph: Path, capability: str, machine: Machine) -> Iterator[str]:
    """Why one plan must not be loaded."""
    if not plan.is_file():
        yield "the plan is missing"
        return
    try:
        manifest = read_manifest(manifest_of(plan))
    except ManifestError as error:
        yield f"{manifest_of(plan).name}: {error}"
        return
    if manifest.compute_capability != capability:
        yield f"built for compute capability {manifest.compute_capability}, this GPU has {capability}"
    if manifest.tensorrt_version != machine.tensorrt_version:
        yield f"built with TensorRT {manifest.tensorrt_version}, this machine has {machine.tensorrt_version}"
    if not graph.is_file():
        yield f"{graph.name}, which it was built from, is missing"
    elif sha256_of(graph) != manifest.onnx_sha256:
        yield f"{graph.name} is not the graph it was built from: sha256 {sha256_of(graph)[:12]}, " + (
            f"the manifest has {manifest.onnx_sha256[:12]}"
        )
    if sha256_of(plan) != manifest.plan_sha256:
        yield "its content is not what was built: its sha256 differs from the manifest's"


def checked(repository: Path, compute_capability: str | None, tensorrt_version: str | None) -> int:
    """Print what is refused; the command's exit code: 0 if nothing is, 1 if something is."""
    try:
        machine = this_machine(compute_capability, tensorrt_version)
        found = refusals(repository, machine)
    except (FileNotFoundError, MachineError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for refusal in found:
        print(f"refused: {refusal}", file=sys.stderr)
    if not found:
        gpus = ", ".join(machine.compute_capabilities)
        print(
            f"{repository}: every plan fits (compute capability {gpus}, TensorRT {machine.tensorrt_version})"
        )
    return 1 if found else 0


def main(arguments: list[str] | None = None) -> int:
    """The command, for servers without any package."""
    parser = argparse.ArgumentParser(
        prog="python3 -m export.plans.check", description=__doc__.splitlines()[0]
    )
    parser.add_argument("repository", type=Path)
    parser.add_argument("--compute-capability", type=_capability, help="like 9.0; the driver's by default")
    parser.add_argument("--tensorrt-version", help="like 10.13.3; the library's by default")
    options = parser.parse_args(arguments)
    return checked(options.repository, options.compute_capability, options.tensorrt_version)


def _capability(text: str) -> str:
    if not COMPUTE_CAPABILITY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"got {text!r}, allowed is major.minor, like 9.0")
    return text


if __name__ == "__main__":
    sys.exit(main())
