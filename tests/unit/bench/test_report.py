"""The page and the Markdown: whole by themselves, and not to be broken by what a service says."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from maskweave_bench.record import Load, StallMark, Trial
from maskweave_bench.report import html, markdown, words
from maskweave_bench.report.view import View, view
from maskweave_bench.results import KneeResult, Results, TargetResult
from tests.unit.bench.simulated import LOAD, trial

pytestmark = pytest.mark.timeout(600)  # sums of many simulated runs, on whatever machine

VOID = {"meta", "br", "hr", "img", "input", "link"}
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Checks that elements are closed in their order, and gathers what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in {"src", "href", "data", "action", "srcset"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def results(trials: list[Trial], targets: tuple[str, ...] = ("a", "b"), **more: Any) -> Results:
    return Results(
        version="1.0",
        created="2026-01-01T00:00:00Z",
        command=["maskweave-bench", "run"],
        scenario={"name": "plain", "description": "Plain."},
        environment={"cpu": "Some CPU", "cores": 2, "gpus": [], "labels": {"threads": "2"}},
        targets=[
            TargetResult(name=name, addresses=["h:1"], tls=False, model="faces", model_version="1.0.0")
            for name in targets
        ],
        trials=trials,
        **more,
    )


@cache
def everything() -> View:
    random = np.random.default_rng(1)
    loads = [Load(kind="poisson", rate=rate, seconds=20) for rate in (30.0, 50.0, 80.0)]
    trials = [
        trial(
            random,
            target=name,
            load=load,
            repeat=repeat,
            slower=slower * (load.rate or 1) / 30,
            failing=failing,
        )
        for name, slower, failing in (("a", 1.0, 0.0), ("b", 1.4, 0.02))
        for load in loads
        for repeat in range(3)
    ]
    trials.append(trial(random, target="b", load=Load(kind="poisson", rate=120.0, seconds=20), lag=0.05))
    trials[0] = trials[0].model_copy(update={"stalls": [StallMark(begin=5, end=7.5, waiting=70)]})
    knee = KneeResult(
        target="a", percent=99, seconds=0.1, errors=0.001, rate=70, low=66, high=74, end="found"
    )
    return view(results(trials, knees=[knee]))


def test_page_asks_nobody_for_anything_and_is_well_formed() -> None:
    text = html.render(everything())
    page = Page(text)
    assert page.fetched == []
    assert not re.search(r"https?://|url\(|@import", text)
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 12
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_page_and_markdown_say_what_was_found() -> None:
    shown = everything()
    for text in (html.render(shown), markdown.render(shown)):
        assert "b is worse than a" in text
        assert "poisson, 80/s" in text
        assert "the client was the limit" in text
        assert "1 stall: nothing was answered for up to 2.50 s" in text
        assert "stage head" in text
    page = html.render(shown)
    assert "RESOURCE_EXHAUSTED OVERLOADED" in page
    assert 'class="band stall"' in page
    assert "target 100 ms" in page


def test_loads_of_which_fewer_trials_count_are_not_said_to_have_as_many_pairs() -> None:
    random = np.random.default_rng(1)
    other = LOAD.model_copy(update={"rate": 80.0})
    found = [
        trial(random, target=name, load=load, repeat=repeat, lag=0.05 * (load == other and repeat > 0))
        for name in ("a", "b")
        for load in (LOAD, other)
        for repeat in range(2)
    ]
    for text in (html.render(view(results(found))), markdown.render(view(results(found)))):
        assert "From 1 to 2 pairs of repeats at a load" in text
    assert words.pairs([3, 3]) == "From 3 pairs of repeats at each load"
    assert words.pairs([1]) == "From 1 pair of repeats at each load"


def test_what_a_service_says_is_shown_and_not_run() -> None:
    random = np.random.default_rng(1)
    name = f"a{EVIL}|"
    bad = trial(random, target=name).model_copy(update={"codes": {"OK": 5, EVIL: 3}})
    shown = view(results([bad, trial(random, target=name, repeat=1)], (name,)))
    page = Page(html.render(shown))
    assert "script" not in page.tags
    rows = [line for line in markdown.render(shown).splitlines() if line.startswith("| a<")]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 10 for row in rows)


@pytest.mark.parametrize("trials", [[], ["nothing answered"], ["one"]])
def test_little_is_shown_as_little(trials: list[str]) -> None:
    random = np.random.default_rng(1)
    made = [trial(random, target="a", failing=1.0 if each == "nothing answered" else 0.0) for each in trials]
    shown = view(results(made, ("a",)))
    Page(html.render(shown))
    assert "# Latency of a" in markdown.render(shown)


def test_loads_with_too_few_requests_for_a_percentile_have_no_line() -> None:
    random = np.random.default_rng(1)
    loads = [Load(kind="poisson", rate=rate, seconds=5) for rate in (4.0, 8.0)]
    text = html.render(view(results([trial(random, target="a", load=load) for load in loads], ("a",))))
    assert "<h3>p50</h3>" in text
    assert "<h3>p99</h3>" not in text


def test_a_closed_loop_has_its_clients_on_the_axis() -> None:
    random = np.random.default_rng(1)
    trials = [
        trial(random, target="a").model_copy(
            update={"load": Load(kind="closed", clients=clients, seconds=20)}
        )
        for clients in (1, 4, 16)
    ]
    text = html.render(view(results(trials, ("a",))))
    assert "clients</text>" in text
    assert "closed loop, 1 client" in text


def test_trials_that_do_not_count_are_not_in_the_figures() -> None:
    random = np.random.default_rng(1)
    good, late = trial(random, target="a"), trial(random, target="a", repeat=1, lag=0.5)
    shown = view(results([good, late], ("a",)))
    assert shown.left_out == [late]
    (cell,) = shown.cells
    assert cell.trials == [good]
    assert cell.latency.percentile(99) < 0.2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0012345, "1.23"), (0.0456, "45.6"), (12.3456, "12 346"), (float("nan"), "-"), (None, "-")],
)
def test_milliseconds_have_three_digits(seconds: float | None, text: str) -> None:
    assert words.milliseconds(seconds) == text
