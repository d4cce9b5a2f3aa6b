"""What is written down beside a plan, so that it can be refused where it does not belong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
PLAN_SUFFIX, MANIFEST_SUFFIX = ".plan", ".plan.json"
COMPUTE_CAPABILITY = re.compile(r"[1-9]\d*\.\d")
SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest that cannot be relied on; the message is one line that names the field."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a plan was made.

    Attributes:
        onnx_sha256: of the graph it was built from, in hexadecimal.
        plan_sha256: of the plan itself.
        tensorrt_version: major, minor and patch, like "10.13.3".
        compute_capability: of the GPU it was built on, like "9.0".
        gpu: that GPU's name.
        precision: what the graph computes in.
        profiles: for every input its smallest, tuned and largest shape, batch first.
        build_seconds: how long building took.
        built_at: when, in UTC, ISO 8601.
    """

    onnx_sha256: str
    plan_sha256: str
    tensorrt_version: str
    compute_capability: str
    gpu: str
    precision: str
    profiles: dict[str, tuple[tuple[int, ...], ...]]
    build_seconds: float
    built_at: str

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n")


def read_manifest(file: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        ManifestError: if the file is missing, no JSON, or a field is missing, unknown or not as it must be.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError("the manifest is missing") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ManifestError(f"format: allowed is {FORMAT}")
    wanted = {field.name for field in dataclasses.fields(Manifest)}
    for name in sorted(wanted ^ content.keys()):
        raise ManifestError(f"{name}: {'is missing' if name in wanted else 'is unknown'}")
    _check_texts(content)
    seconds = content["build_seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ManifestError(f"build_seconds: got {seconds!r}, allowed are seconds of 0 or more")
    return Manifest(**{**content, "profiles": _profiles(content["profiles"])})


def plan_file(compute_capability: str) -> str:
    """File name of the plan for a GPU's compute capability: "9.0" gives "model.sm90.plan"."""
    return f"model.sm{compute_capability.replace('.', '')}{PLAN_SUFFIX}"


def manifest_of(plan: Path) -> Path:
    """Where a plan's manifest lies."""
    return plan.with_name(plan.name.removesuffix(PLAN_SUFFIX) + MANIFEST_SUFFIX)


def sha256_of(file: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _check_texts(content: dict[str, object]) -> None:
    for name, pattern, allowed in (
        ("onnx_sha256", SHA256, "64 hexadecimal digits"),
        ("plan_sha256", SHA256, "64 hexadecimal digits"),
        ("tensorrt_version", re.compile(r"\d+\.\d+\.\d+"), "major.minor.patch"),
        ("compute_capability", COMPUTE_CAPABILITY, "major.minor"),
        ("gpu", re.compile(".+"), "a name"),
        ("precision", re.compile("[a-z0-9]+"), "a precision's name"),
        ("built_at", re.compile(r"\d{4}-\d\d-\d\dT.+"), "an ISO 8601 date and time"),
    ):
        value = content[name]
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ManifestError(f"{name}: got {value!r}, allowed is {allowed}")


def _profiles(value: object) -> dict[str, tuple[tuple[int, ...], ...]]:
    if not isinstance(value, dict) or not value or not all(map(_are_three_shapes, value.values())):
        raise ManifestError(
            f"profiles: got {value!r}, allowed are the smallest, tuned and largest shape of every input"
        )
    return {name: tuple(tuple(shape) for shape in shapes) for name, shapes in value.items()}


def _are_three_shapes(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(shape, list) and all(type(size) is int for size in shape) for shape in value)
    )
