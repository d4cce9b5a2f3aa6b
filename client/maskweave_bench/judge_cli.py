"""The commands that read results: `compare` and `report`, and the list of scenarios."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maskweave_bench.compare import Tolerance, differences
from maskweave_bench.options import FILE
from maskweave_bench.report import html, markdown
from maskweave_bench.report.view import view
from maskweave_bench.results import read_results
from maskweave_bench.scenario import builtin_scenarios
from maskweave_bench.session import exit_code, judge_files


@click.command("compare", context_settings={"show_default": True})
@click.argument("baseline", type=FILE)
@click.argument("candidate", type=FILE)
@click.option(
    "--baseline-target",
    metavar="NAME",
    help="Which target of the baseline. Default: targets of the same name, or the only ones.",
)
@click.option("--candidate-target", metavar="NAME", help="Which target of the candidate.")
@click.option(
    "--p50-tolerance",
    type=click.FloatRange(0, 10),
    default=0.05,
    help="Share by which the median may be worse.",
)
@click.option(
    "--p99-tolerance", type=click.FloatRange(0, 10), default=0.15, help="The same of the 99th percentile."
)
@click.option(
    "--throughput-tolerance",
    type=click.FloatRange(0, 10),
    default=0.05,
    help="The same of a closed loop's requests a second.",
)
@click.option(
    "--error-tolerance",
    type=click.FloatRange(0, 1),
    default=0.001,
    help="Share of requests that may fail beyond the baseline's.",
)
@click.option("--strict", is_flag=True, help="Exit with 4 when there is no verdict.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the candidate's page with the verdict.",
)
def compare_(
    *,
    baseline: Path,
    candidate: Path,
    baseline_target: str | None,
    candidate_target: str | None,
    p50_tolerance: float,
    p99_tolerance: float,
    throughput_tolerance: float,
    error_tolerance: float,
    strict: bool,
    page: Path | None,
) -> None:
    """Judge the results CANDIDATE against BASELINE: exit code 3 when it is worse.

    Trials of the same load and repeat are compared in pairs. Worse is what is worse beyond the tolerance and
    with 95 % confidence over all figures together.
    """
    ours, theirs = read_results(baseline), read_results(candidate)
    tolerance = Tolerance(p50_tolerance, p99_tolerance, throughput_tolerance, error_tolerance)
    notes = differences(ours, theirs)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    judged = judge_files(ours, theirs, tolerance, baseline_target, candidate_target)
    for each in judged:
        click.echo("\n".join(markdown.comparison(each)))
    if page is not None:
        page.write_text(
            html.render(view(theirs.model_copy(update={"notes": [*theirs.notes, *notes]}), judged))
        )
    sys.exit(exit_code(judged, gate=True, strict=strict))


@click.command(context_settings={"show_default": True})
@click.argument("results", type=FILE)
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="HTML file to write.")
@click.option(
    "--markdown",
    "text",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown file to write; without --html and --markdown it is printed.",
)
def report(*, results: Path, page: Path | None, text: Path | None) -> None:
    """Write the page and the Markdown of RESULTS anew."""
    shown = view(read_results(results))
    if page is not None:
        page.write_text(html.render(shown))
    if text is not None:
        text.write_text(markdown.render(shown))
    if page is None and text is None:
        click.echo(markdown.render(shown))


@click.command()
@click.argument("name", required=False)
def scenarios(*, name: str | None) -> None:
    """List the bundled scenarios, or print the file of one, to start your own from."""
    known = builtin_scenarios()
    if name is None:
        for each, text in known.items():
            description = text.partition("description:")[2].strip().removeprefix(">-").strip().splitlines()[0]
            click.echo(f"{each:16} {description}")
    elif name in known:
        click.echo(known[name], nl=False)
    else:
        raise click.BadParameter(f"got {name!r}; allowed: {', '.join(known)}", param_hint="NAME")
