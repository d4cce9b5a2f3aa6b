"""Notes in a repository what a precision does to images, as the gateway reads it before it serves in one."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from pathlib import Path

from export.images import Gate, Verdict
from export.runners import Runner
from service.engine.embedded.precisions import RECORDS_FILE, Figures, Record, Records, read_records
from service.engine.embedded.runtime import Runtime


def record_of(verdict: Verdict, runner: Runner, runtime: Runtime) -> Record:
    """What is noted of a comparison.

    Args:
        verdict: Its outcome.
        runner: What made the images, with the runtime.
        runtime: That runtime.
    """
    return Record(
        model=verdict.model,
        runtime=runtime.name,
        runtime_version=runtime.version,
        precision=runtime.precision,
        cpu=_cpu(),
        date=datetime.now(UTC).date().isoformat(),
        images=len(verdict.psnr),
        found=Figures(
            mean_psnr=round(float(verdict.psnr.mean()), 2),
            worst_psnr=round(float(verdict.psnr.min()), 2),
            mean_ssim=round(float(verdict.ssim.mean()), 5),
            worst_ssim=round(float(verdict.ssim.min()), 5),
        ),
        gate=_figures(verdict.gate),
        passed=verdict.passed,
        files={name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in runner.files.items()},
    )


def write_records(repository: Path, new: list[Record]) -> Path:
    """Put records into a repository's file, in place of earlier ones of the same.

    Returns:
        The file.

    Raises:
        ValueError: The file that is there cannot be read.
    """
    places = {(each.model, each.runtime, each.precision) for each in new}
    kept = [
        each
        for each in read_records(repository).records
        if (each.model, each.runtime, each.precision) not in places
    ]
    everything = sorted([*kept, *new], key=lambda each: (each.model, each.runtime, each.precision))
    file = repository / RECORDS_FILE
    file.write_text(Records(records=tuple(everything)).model_dump_json(indent=1) + "\n")
    return file


def _figures(gate: Gate) -> Figures:
    return Figures(
        mean_psnr=gate.mean_psnr,
        worst_psnr=gate.worst_psnr,
        mean_ssim=gate.mean_ssim,
        worst_ssim=gate.worst_ssim,
    )


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
