"""The experiment's table: mean and standard deviation over draws, beside the paper's."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from training.evaluation.few_shot import ALL_LABELS, Result, Score

PAPER = {
    1: ("49.8 ± 1.0", "37.2 ± 0.8"),
    4: ("54.3 ± 1.2", "39.1 ± 0.5"),
    8: ("54.4 ± 1.7", "39.4 ± 0.9"),
    16: ("56.7 ± 1.2", "40.0 ± 0.2"),
}
"""SIS-UG's few-shot table, FFHQ: mIoU in percent of the method and of LinearGAN, by N. Data and classes
are others: only what stands beside each other there is comparable."""
COLUMNS = (
    *("N", "draws", "accuracy", "mIoU", "segmenter's label maps: accuracy", "mIoU"),
    *("latent search: accuracy", "mIoU", "paper, FFHQ: mIoU in %", "its LinearGAN"),
)


def as_markdown(results: Sequence[Result], pairs: int) -> str:
    """A row for each N, with every figure's mean ± standard deviation over its draws."""
    lines = [
        f"{pairs} held-out pairs.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    counts = sorted({result.shots for result in results}, key=lambda shots: shots or float("inf"))
    for shots in counts:
        of_n = [result for result in results if result.shots == shots]
        cells = [
            *_figures(result.synthesis for result in of_n),
            *_figures(result.segmenter for result in of_n),
            *_figures(result.search for result in of_n),
            *PAPER.get(shots, ("", "")),
        ]
        name = "all" if shots == ALL_LABELS else str(shots)
        lines.append(f"| {name} | {len(of_n)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figures(scores: Iterable[Score | None]) -> tuple[str, str]:
    """Accuracy and mIoU of several draws; empty where there are none."""
    there = [score for score in scores if score is not None]
    if not there:
        return "", ""
    return _spread([s.accuracy for s in there]), _spread([s.miou for s in there])


def _spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"
