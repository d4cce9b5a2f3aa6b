"""Write `docs/ablations.md` from the figures beside it: `python -m training.ablations.page`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from training.ablations.measures import GROUPDNET_MEASURES, SIS_UG_MEASURES, Measure
from training.ablations.report import PUBLISHED
from training.ablations.tables import TABLES, Table
from training.groupdnet.config import METHOD
from training.sis_ug.config import SIS_UG

NOTES = "notes"
"""Folder beside the figures: what people have seen in a table and on its sheets, a page's part each."""
BUDGETS = {
    SIS_UG: "--steps-fraction 0.075 --batch-fraction 0.5 --pairs 300",
    METHOD: "--steps-fraction 0.1 --batch-fraction 0.25 --samples 4096",
}
"""What tables are run with where that was not given otherwise: short enough for CPU cores."""
INTRODUCTION = """\
# Ablations

What each part of the two methods is worth: packs trained with and without it, from the same start and for as
long, and measured in the same way.

- **Every figure** is the mean over trainings with different seeds, with the least and the greatest of them in
  brackets. What the columns are: [below](#columns).
- **Trainings are shorter** than those of the shipped packs; each table says by how much. So compare rows of a
  table, and no row with [quality.md](quality.md).
- **A difference** no larger than the spread of the first row tells nothing.
- **Measured by** the [labelling tool and the judge](training.md#7-evaluation) on held-out pairs. No loss of a
  variant uses either.
- **To repeat one**, give the command beside it. It goes on where it was stopped; `--dry-run` tells what is
  left.
- **Compared elsewhere**: [search of latents](quality.md#a-handful-of-labels),
  [groups and none, fully trained](quality.md#with-groups-and-without).

Generated from `docs/figures/ablations` by `make ablations-page`.
"""
ATTENTION = """\
## Where a cell came from

![Results of eight pairs, a cell of each, and where in the source it looked](images/faces64_attention.jpg)

From above: eight sources; samples that give the proxy masks; the results, each with one cell marked, of
background, hair, skin, brows, eyes, nose, mouth and neck; then each source as bright as what that cell took
from there, at 8 x 8 and at 16 x 16 cells, means over heads. The brightest place gave most. The shipped pack,
with

```sh
.venv/dev/bin/python -m training.evaluation.attention faces64 docs/images/faces64_attention.jpg
```
"""


def page(figures: Path = PUBLISHED) -> str:
    """The page's text; a table without figures says that it has not been run, and how to run it."""
    lines = [INTRODUCTION]
    for name, table in TABLES.items():
        lines += [f"## {table.title}", "", f"{table.question} {table.shared_note}", ""]
        file = figures / f"{name}.json"
        if file.exists():
            report = json.loads(file.read_text())
            lines += [*as_markdown(report), *_image(report, figures)]
        else:
            pack = "faces64_styles" if table.method == METHOD else "faces64"
            rows = ", ".join(variant.name for variant in table.variants)
            lines += [
                f"**Not run.** Rows: {rows}.",
                "",
                f"```sh\n.venv/dev/bin/maskweave ablate {name} --pack {pack} {BUDGETS[table.method]}\n```",
            ]
        notes = figures / NOTES / f"{name}.md"
        if notes.exists():
            lines += ["", notes.read_text().rstrip()]
        lines.append("")
    return "\n".join([*lines, ATTENTION, *_columns()]).rstrip() + "\n"


def as_markdown(report: Mapping[str, Any]) -> list[str]:
    """A report as lines: the table, and how it was made."""
    table = TABLES[report["table"]]
    measures = _measures(table)
    titles = ("", "trainings", *(each.title for each in measures.values()))
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    left = []
    for variant in table.variants:
        found = [cell["figures"] for cell in report["cells"] if cell["variant"] == variant.name]
        if not found:
            left.append(variant.name)
            continue
        figures = [_spread([one[key] for one in found], measure) for key, measure in measures.items()]
        lines.append(f"| {' | '.join([variant.name, str(len(found)), *figures])} |")
    if left:
        lines += ["", f"Not run: {', '.join(left)}."]
    return [*lines, "", *_made_by(report)]


def _image(report: Mapping[str, Any], figures: Path) -> list[str]:
    """Of a table's variants, where there is one."""
    file = figures.parents[1] / "images" / f"ablations_{report['table']}.jpg"
    if not file.exists():
        return []
    first = min(cell["seed"] for cell in report["cells"])
    rows = ", ".join(cell["variant"] for cell in report["cells"] if cell["seed"] == first)
    return [
        "",
        f"![Two label maps in nine styles, a row for each variant](images/{file.name})",
        "",
        f"Seed {first}. First row: the styles. Then a label map, a row for each of {rows}; then another "
        "label map, in the same order.",
    ]


def _measures(table: Table) -> Mapping[str, Measure]:
    return GROUPDNET_MEASURES if table.method == METHOD else SIS_UG_MEASURES


def _spread(values: list[float], measure: Measure) -> str:
    """Mean, and least to greatest where there are several that differ."""
    text = f"{mean(values):.{measure.digits}f}"
    least, greatest = (f"{each:.{measure.digits}f}" for each in (min(values), max(values)))
    return text if least == greatest else f"{text} ({least} to {greatest})"


def _made_by(report: Mapping[str, Any]) -> list[str]:
    machine, runs = report["environment"], report["runs"]
    named = [f"{name} {length}" for name, length in runs.items() if _trains(report["table"], name)]
    budget = report["budget"]
    seen = f" The first {budget['samples']} samples were used." if budget["samples"] else ""
    shares = f"{budget['steps']:g} of the steps of the shipped pack, {budget['batch']:g} of its batches"
    return [
        f"Trained: {'; '.join(named)} ({shares}).{seen}" if named else f"Nothing was trained.{seen}",
        f"{report['pairs']} held-out pairs, {report['date']}, {machine['threads']} thread(s) of "
        f"{machine['cpu']}, PyTorch {machine['torch']}, with",
        "",
        f"```sh\n{report['command'].replace('maskweave', '.venv/dev/bin/maskweave', 1)}\n```",
    ]


def _trains(table: str, run: str) -> bool:
    """Whether a table trains a run, by the section that it is configured in."""
    stages = TABLES[table].stages
    without_cycle = TABLES[table].options.get("mapper", {}).get("cycle") == "none"
    if run in ("mapper.cycle", "mapper.label_segmenter"):
        return "mapper" in stages and not without_cycle
    if run == "training":
        return "styles" in stages
    return run.partition(".")[0] in stages


def _columns() -> list[str]:
    lines = ["## Columns", ""]
    for method, measures in (("SIS-UG", SIS_UG_MEASURES), ("GroupDNet", GROUPDNET_MEASURES)):
        lines += [f"Tables of {method}:", ""]
        lines += [f"- **{each.title}**: {each.meaning}" for each in measures.values()]
        lines.append("")
    return lines


if __name__ == "__main__":
    Path("docs/ablations.md").write_text(page())
