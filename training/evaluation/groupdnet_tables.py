"""An evaluation of a pack of GroupDNet as Markdown tables, each with what it was measured by."""

from __future__ import annotations

from training.evaluation.crispness import as_markdown as crispness_as_markdown
from training.evaluation.distances import as_markdown as distances_as_markdown
from training.evaluation.groupdnet import SPLIT_NAMES, StylesEvaluation
from training.evaluation.map_changes import as_markdown as map_changes_as_markdown


def as_markdown(evaluation: StylesEvaluation) -> str:
    """The evaluation as Markdown tables."""
    touched, split = evaluation.touched, SPLIT_NAMES.get(evaluation.split, evaluation.split)
    lines = [
        f"{evaluation.maps} {split} label maps. {touched['read']}",
        "",
    ]
    titles = [*([evaluation.found] if evaluation.found else []), "accuracy", "mIoU", "PSNR (dB)"]
    lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name, row in evaluation.rows.items():
        cells = [] if row.detected is None else [f"{row.detected:.3f}"]
        cells += [f"{row.agreement.accuracy:.3f}", f"{row.agreement.miou:.3f}"]
        cells.append("" if row.psnr is None else f"{row.psnr:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    judged = {name: row.judged for name, row in evaluation.rows.items() if row.judged is not None}
    if judged:
        lines += ["", touched["judged"], "", "| | accuracy | mIoU |", "|---|---|---|"]
        lines += [f"| {name} | {one.accuracy:.3f} | {one.miou:.3f} |" for name, one in judged.items()]
    if crisp := crispness_as_markdown(evaluation.crispness):
        lines += ["", crisp]
    lines.append(distances_as_markdown(evaluation.distances))
    lines += ["", *(f"{kind}: {touched[kind]}." for kind in evaluation.distances if kind in touched)]
    lines += [
        "",
        "New code of one style: change in its part and elsewhere (L1 of 1; distance by "
        f"{evaluation.apart_by}):",
        "",
        "| | own, L1 | elsewhere, L1 | own, distance | elsewhere, distance |",
        "|---|---|---|---|---|",
    ]
    for name, change in evaluation.changes.items():
        lines.append(
            f"| {name} | {change.own:.4f} | {change.other:.4f} "
            f"| {change.own_features:.4f} | {change.other_features:.4f} |"
        )
    lines += ["", map_changes_as_markdown(evaluation.map_changes)]
    lines += [
        "",
        f"Diversity, one map in two styles of the joint prior: L1 {evaluation.diversity:.4f}, "
        f"{evaluation.apart_by} {evaluation.diversity_features:.4f}.",
    ]
    return "\n".join(lines)
