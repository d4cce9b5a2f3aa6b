"""An evaluation as Markdown tables, each with what it was measured by."""

from __future__ import annotations

from training.evaluation.distances import as_markdown as distances_as_markdown
from training.evaluation.sis_ug import HELDOUT, Evaluation
from training.sis_ug.config import PackConfig
from training.sis_ug.inversion.reconstruction import as_markdown as reconstructions_as_markdown

SPLIT_NAMES = {HELDOUT: "held-out"}


def as_markdown(evaluation: Evaluation, config: PackConfig) -> str:
    """The evaluation as Markdown tables."""
    touched = evaluation.touched
    lines = [
        f"{evaluation.pairs} {SPLIT_NAMES.get(evaluation.split, evaluation.split)} pairs.",
        *(["", touched["read"]] if touched else []),
        "",
        "| | detected | accuracy | mIoU | style error (0-255) |",
        "|---|---|---|---|---|",
    ]
    for name, row in evaluation.rows.items():
        quality = row.agreement
        lines.append(
            f"| {name} | {row.detected:.3f} | {quality.accuracy:.3f} | {quality.miou:.3f} "
            f"| {row.style_error:.1f} |"
        )
    lines += [
        "",
        "IoU by class:",
        "",
        f"| | {' | '.join(config.palette.names)} |",
        "|---" * (len(config.palette) + 1) + "|",
    ]
    for name, row in evaluation.rows.items():
        cells = ["" if value is None else f"{value:.2f}" for value in row.agreement.iou]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    judged = {name: row.judged for name, row in evaluation.rows.items() if row.judged is not None}
    if judged:
        lines += ["", touched["judged"], "", "| | accuracy | mIoU |", "|---|---|---|"]
        lines += [f"| {name} | {one.accuracy:.3f} | {one.miou:.3f} |" for name, one in judged.items()]
    lines.append(distances_as_markdown(evaluation.distances))
    lines += ["", *(f"{kind}: {touched[kind]}." for kind in evaluation.distances if kind in touched)]
    if evaluation.reconstructions:
        lines += ["", "What comes back through the inverter:", ""]
        lines.append(reconstructions_as_markdown(evaluation.reconstructions))
    return "\n".join(lines)
