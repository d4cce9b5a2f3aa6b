"""What training a pack of GroupDNet would take: memory and time a step, told before anything is trained."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch.nn import functional as F

from training.config.weights import weights_path
from training.data.folders import HELDOUT, JUDGE, SHARED, TRAIN, FoldersSection, find_pairs
from training.generators.importers.files import printable
from training.groupdnet.config import StylesConfig
from training.groupdnet.cost import (
    StepCost,
    fitting_chunk,
    judge_cost,
    recalibration_chunk,
    segmenter_cost,
    step_cost,
)
from training.groupdnet.judging import judge_section
from training.runs.checkpoints import steps_done
from training.runs.updates import Precision

GIB = 1 << 30
USABLE = 0.85
"""Of a GPU's memory: the rest is for libraries, their working space, and gaps."""
RATES = (5, 20, 60)
"""TFLOP/s that GPUs may keep up; grouped convolutions reach a tenth to a third of what is on the label."""
PROBE_SECONDS = 0.5
MIN_BATCH = 4


def report(config: StylesConfig, accumulate: int, precision: Precision, memory: float) -> str:
    """The account as text.

    Args:
        config: of one shard, as `training.config.batches.split_batches` gives it.
        accumulate: micro-batches of each device.
        precision: of the run; "auto" counts as "32".
        memory: of the device, in GiB.
    """
    network, training = config.network, config.needed_training
    height, width = network.image_size
    step = step_cost(config, precision, accumulate)
    peak, kept = step.cost.peak_bytes, step.cost.kept_bytes
    by_image = max(1.0, (peak - kept) / step.images)
    fits = int((memory * USABLE * GIB - kept) / by_image) // 2 * 2
    rate = cpu_rate()
    cpu = torch.device("cpu")
    halved = "half" if precision == "bf16" else "single"
    fitting = f"a batch of up to {fits} fits" if fits >= MIN_BATCH else f"no batch fits, not even {MIN_BATCH}"
    times = [step.cost.flops / (tera * 1e12) for tera in RATES]
    rows = [
        ("images", f"{height} x {width} px (height x width), {network.classes} classes"),
        ("codes", f"{network.styles} styles of {network.style_size} numbers"),
        ("parameters", f"{step.parameters / 1e6:.1f} M with the discriminator's"),
        ("batch", f"{step.images} on each device, worked on in {accumulate} parts"),
        ("memory a step", f"{peak / GIB:.2f} GiB, in {halved} precision"),
        ("", f"of which {kept / GIB:.2f} GiB whatever the batch"),
        (f"of {memory:g} GiB", fitting),
        ("work a step", f"{step.cost.flops / 1e12:.3f} TFLOP"),
        ("time a step", f"{_spoken(step.cost.flops / rate)} at this CPU's {rate / 1e9:.0f} GFLOP/s (probed)"),
        *(
            (
                "",
                f"{_spoken(seconds)} on a GPU that keeps up {tera} TFLOP/s; {training.steps} steps: "
                f"{_spoken(training.steps * seconds)}",
            )
            for tera, seconds in zip(RATES, times, strict=True)
        ),
        (
            "fitted in chunks",
            f"of {recalibration_chunk(network, cpu)} images (batch norms) and "
            f"{fitting_chunk(network, cpu)} (expectation, prior) on a CPU",
        ),
    ]
    segmenter = segmenter_cost(config, precision, accumulate)
    if segmenter is not None:
        rows.append(("trained first", "the label segmenter, training.judge"))
        rows += _classifier_rows(segmenter, memory)
    if isinstance(config.data, FoldersSection) and (missing := _missing(config.data)):
        rows.append(("data", f"none yet: {missing}"))
    elif isinstance(config.data, FoldersSection):
        counts = {split: _count(config.data, split) for split in (TRAIN, *SHARED)}
        held = counts[TRAIN] * height * width * 4
        shares = [f"{counts[HELDOUT]} held out"]
        shares += [f"{counts[split]} for {split}" for split in SHARED[1:] if config.data.share(split)]
        rows += [
            ("data", f"{counts[TRAIN]} images to train on, {', '.join(shares)}"),
            ("", f"the former in {held / GIB:.2f} GiB of the machine's memory"),
        ]
    return _lines(rows)


def _classifier_rows(step: StepCost, memory: float) -> list[tuple[str, str]]:
    needed = step.cost.peak_bytes
    room = "" if needed <= memory * USABLE * GIB else f", too much for {memory:g} GiB: lower its batch"
    seconds = step.cost.flops / (RATES[0] * 1e12)
    return [
        ("", f"a step of {step.images}: {needed / GIB:.2f} GiB{room}"),
        ("", f"{_spoken(seconds)} on a GPU that keeps up {RATES[0]} TFLOP/s"),
    ]


def judge_report(
    config: StylesConfig, accumulate: int, precision: Precision, memory: float, folder: Path, runs: Path
) -> str:
    """What training the judge of a pack with folders takes and leaves, as text.

    Args:
        config: of one shard, as for `report`; so are the next three.
        accumulate: micro-batches of each device.
        precision: of the run.
        memory: of the device, in GiB.
        folder: the pack's.
        runs: where its runs are kept.

    Raises:
        ValueError: as `judge_section`.
    """
    section, done = judge_section(config), steps_done(runs / JUDGE)
    assert isinstance(config.data, FoldersSection)  # as the configuration has checked
    missing, count = _missing(config.data), _count(config.data, JUDGE)
    return _lines(
        [
            ("data", f"none yet: {missing}" if missing else f"{count} images that nothing else uses"),
            ("run", f"judge: {section.steps} steps of {section.batch} samples, {done} done"),
            *_classifier_rows(judge_cost(config, precision, accumulate), memory),
            ("precision", precision),
            ("writes", str(weights_path(folder, JUDGE))),
        ]
    )


def _lines(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{title:<18}{text}" for title, text in rows)


@torch.inference_mode()
def cpu_rate() -> float:
    """Floating-point operations a second of this machine's CPUs, in plain 3 x 3 convolutions."""
    features, weight = torch.rand(4, 64, 32, 32), torch.rand(64, 64, 3, 3)
    operations = 2 * features.numel() * weight[:, 0].numel()
    F.conv2d(features, weight, padding=1)
    began, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < PROBE_SECONDS:
        F.conv2d(features, weight, padding=1)
        done += operations
    return done / taken


def _missing(section: FoldersSection) -> str:
    """What there is no folder of, or no file in; "" if there are pairs."""
    try:
        find_pairs(section, TRAIN)
    except FileNotFoundError as error:
        return printable(str(error))
    return ""


def _count(section: FoldersSection, split: str) -> int:
    if split in SHARED and not section.share(split):
        return 0
    try:
        return len(find_pairs(section, split))
    except FileNotFoundError:
        return 0


def _spoken(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
