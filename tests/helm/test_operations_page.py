"""docs/operations.md has an entry for every alert, and speaks of values that there are."""

from __future__ import annotations

import re

from tests.support.chart import ROOT, SCENARIOS, rendered, rule_groups
from tests.support.chart_values import read_values

PAGE = (ROOT / "docs" / "operations.md").read_text()


def alerts() -> dict[str, str]:
    """Runbook address of every alert."""
    return {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for scenario in SCENARIOS
        if scenario != "everything"  # it has a runbook elsewhere
        for group in rule_groups(rendered(scenario))
        for rule in group["rules"]
        if "alert" in rule
    }


def test_every_alert_has_an_entry_and_every_entry_an_alert() -> None:
    entries = re.findall(r"^### (Maskweave\w+)$", PAGE, re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == alerts().keys()


def test_an_alert_links_to_its_entry() -> None:
    for name, address in alerts().items():
        assert address == f"docs/operations.md#{name.lower()}"


def test_an_entry_says_something() -> None:
    for entry in re.split(r"^### Maskweave\w+$", PAGE, flags=re.MULTILINE)[1:]:
        assert len(entry.partition("\n## ")[0].split()) > 15


def test_alerts_named_in_the_text_are_alerts() -> None:
    assert set(re.findall(r"\bMaskweave[A-Z]\w+", PAGE)) == alerts().keys()


def test_values_that_are_named_are_values() -> None:
    values = {".".join(each.path) for top in read_values() for each in top.all()}
    values |= {path.rpartition(".")[0] for path in values}
    sections = {top.path[0] for top in read_values()}
    named = {
        each
        for each in re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", PAGE)
        if each.partition(".")[0] in sections
    }
    assert len(named) > 10
    assert named <= values
