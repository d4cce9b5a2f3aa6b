"""Reads what a repository's images were measured to be in lower precisions, on which its use depends.

`maskweave export verify --record` writes the file: it makes images with the code that serves, compares them
with the reference, and notes the figures beside the files that were run. A precision other than fp32 is
served only where every file has such a record that passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from service.core.diagnostics import Diagnostics
from service.engine.embedded.runtime import Precision, RuntimeName

RECORDS_FILE = "precisions.json"
"""In the repository's root."""


class Figures(BaseModel):
    """Agreement of images with the reference: PSNR in decibels and SSIM, mean and worst."""

    model_config = ConfigDict(frozen=True)

    mean_psnr: float
    worst_psnr: float
    mean_ssim: float
    worst_ssim: float

    def __str__(self) -> str:
        """All four in one line."""
        return (
            f"PSNR {self.mean_psnr:.1f} dB mean, {self.worst_psnr:.1f} worst; SSIM {self.mean_ssim:.4f} "
            f"mean, {self.worst_ssim:.4f} worst"
        )


class Record(BaseModel):
    """One measurement.

    Attributes:
        model: The served model whose images were compared.
        runtime: What ran it.
        runtime_version: Its version.
        precision: What it computed in.
        cpu: Of the machine.
        date: When, ISO 8601.
        images: How many.
        found: What came out.
        gate: What it must come up to.
        passed: Whether it does.
        files: sha256 of each file that was run, by model.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    runtime: RuntimeName
    runtime_version: str
    precision: Precision
    cpu: str
    date: str
    images: int
    found: Figures
    gate: Figures
    passed: bool
    files: Mapping[str, str]


class Records(BaseModel):
    """All of a repository."""

    model_config = ConfigDict(frozen=True)

    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file that is to be run."""

    model: str
    file: Path


def read_records(root: Path) -> Records:
    """The records of a repository; none where there is no file.

    Raises:
        ValueError: The file is not what `maskweave export verify --record` writes.
    """
    file = root / RECORDS_FILE
    if not file.exists():
        return Records()
    try:
        return Records.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file}: {where}: {first['msg']}") from None


def check_gate(
    root: Path, runtime: RuntimeName, precision: Precision, files: list[UsedFile], diagnostics: Diagnostics
) -> None:
    """Note every file whose images were not measured in a precision, or not found good enough."""
    if precision == "fp32":
        return
    try:
        records = read_records(root).records
    except (OSError, ValueError) as error:
        diagnostics.add(
            root / RECORDS_FILE, "", f"cannot be read: {error}", "a file of maskweave export verify --record"
        )
        return
    mine = [each for each in records if (each.runtime, each.precision) == (runtime, precision)]
    for used in files:
        sha256 = hashlib.sha256(used.file.read_bytes()).hexdigest()
        measured = [each for each in mine if each.files.get(used.model) == sha256]
        if not measured:
            diagnostics.add(
                used.file,
                "",
                f"images in {precision} by {runtime} were never compared with the reference's",
                "fp32, or a record of `maskweave export verify "
                f"--runtime {runtime} --precision {precision} --record`",
            )
        for record in (each for each in measured if not each.passed):
            diagnostics.add(
                used.file,
                "",
                f"{record.model} in {precision} by {runtime}: {record.found}",
                f"at least {record.gate}",
            )
