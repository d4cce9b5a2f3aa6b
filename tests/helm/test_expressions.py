"""Expressions of rules, dashboards, scalers and docs/metrics.md are PromQL, and name metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helm.metrics import allowed
from tests.support.chart import CHART, ROOT, SCENARIOS, named, of_kind, rendered, rule_groups
from tests.support.promtool import promtool, tried_rules, write_rules

DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
VARIABLES = {
    "$__rate_interval": "5m", "$namespace": "faces", "$job": "rel-maskweave", "$pod": "g-1", "$target": "0.5",
}  # fmt: skip

# What is not a metric: text, ranges, label lists, names before a bracket, words of the language.
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHERS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+")
_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "inf", "nan"}


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression speaks of."""
    text = _LISTS.sub(" ", _MATCHERS.sub(" ", _TEXT.sub(" ", expression)))
    text = re.sub(r"\b[A-Za-z_][A-Za-z0-9_]*\s*\(", " ", text)
    return {name for name in _NAME.findall(text) if name.lower() not in _WORDS and not name.startswith("__")}


def of_dashboards() -> Iterator[tuple[str, str]]:
    """Every expression of a dashboard, with its place."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                assert "$" not in expression, f"{file.stem}: {panel['title']}"
                yield f"{file.stem}: {panel['title']}", expression


def of_rules(scenario: str) -> Iterator[tuple[str, str]]:
    for group in rule_groups(rendered(scenario)):
        for rule in group["rules"]:
            yield f"{scenario}: {rule.get('alert') or rule['record']}", rule["expr"]


def of_scalers(scenario: str) -> Iterator[tuple[str, str]]:
    for each in of_kind(rendered(scenario), "ScaledObject"):
        for trigger in each["spec"]["triggers"]:
            yield f"{scenario}: {each['metadata']['name']}", trigger["metadata"]["query"]
    for each in of_kind(rendered(scenario), "HorizontalPodAutoscaler"):
        for metric in each["spec"]["metrics"]:
            if metric["type"] != "Resource":
                yield (
                    f"{scenario}: {each['metadata']['name']}",
                    metric[metric["type"].lower()]["metric"]["name"],
                )


def of_page() -> Iterator[tuple[str, str]]:
    """Every expression that the page on metrics says to watch."""
    text = (
        (ROOT / "docs" / "metrics.md").read_text().partition("\n## What to watch\n")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (.+?) \| `([^`]+)` \|$", text, re.MULTILINE)
    assert len(rows) > 5
    yield from ((f"metrics.md: {question}", expression) for question, expression in rows)


def everything() -> list[tuple[str, str]]:
    found = [*of_dashboards(), *of_page()]
    for scenario in SCENARIOS:
        found += [*of_rules(scenario), *of_scalers(scenario)]
    return found


def test_every_expression_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"test:{number}", "expr": each} for number, (_, each) in enumerate(everything())]
    assert len(rules) > 100
    done = promtool("check", "rules", write_rules(tmp_path / "all.yaml", [{"name": "all", "rules": rules}]))
    assert done.returncode == 0, done.stdout


def test_every_metric_is_there() -> None:
    recorded = {
        rule["record"]
        for scenario in SCENARIOS
        for group in rule_groups(rendered(scenario))
        for rule in group["rules"]
        if "record" in rule
    }
    missing = {
        place: names for place, text in everything() if (names := metrics_in(text) - allowed() - recorded)
    }
    assert not missing


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le, job) (rate(a_bucket{x="b c"}[5m])) / on (pod) group_left (d) e', {"a_bucket", "e"}),
        ('absent(up{job="x"} == 1) and on() sum(y) > bool 0', {"up", "y"}),
        ("histogram_quantile(0.99, sum(a:b:c)) or vector(0)", {"a:b:c"}),
        ("time() - count by (model) (m unless n offset 5m)", {"m", "n"}),
    ],
)
def test_metrics_are_found_in_expressions(expression: str, names: set[str]) -> None:
    assert metrics_in(expression) - {"m"} == names - {"m"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_whole(file: Path) -> None:
    board: dict[str, Any] = json.loads(file.read_text())
    variables = {each["name"] for each in board["templating"]["list"]}
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            used = set(re.findall(r"\$([a-z]+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables
    assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_dashboards_are_rendered_as_they_are() -> None:
    objects = rendered("everything")
    for file in DASHBOARDS:
        config = named(objects, "ConfigMap", f"rel-maskweave-dashboard-{file.stem}")
        assert json.loads(config["data"][f"maskweave-{file.name}"]) == json.loads(file.read_text())
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def waiting(namespace: str, pod: str, seconds: int) -> dict[str, str]:
    series = f'maskweave_work_waiting_seconds{{namespace="{namespace}",job="rel-maskweave",pod="{pod}"}}'
    return {"series": series, "values": f"{seconds}x10"}


def test_a_scaler_asks_for_what_waits_in_its_own_release(tmp_path: Path) -> None:
    """The sum, which KEDA divides by the replicas; no data is no answer, which KEDA takes for a failure."""
    (gateways,) = (
        each
        for each in of_kind(rendered("keda"), "ScaledObject")
        if each["metadata"]["name"] == "rel-maskweave"
    )
    query = gateways["spec"]["triggers"][-1]["metadata"]["query"]
    for series, samples in (
        (
            [waiting("faces", "g-1", 3), waiting("faces", "g-2", 4), waiting("other", "g-1", 50)],
            [{"labels": "{}", "value": 7}],
        ),
        ([waiting("other", "g-1", 50)], []),
    ):
        test = {
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [{"expr": query, "eval_time": "5m", "exp_samples": samples}],
        }
        assert not tried_rules(tmp_path, [], test)


G = 'namespace="faces",job="rel-maskweave",pod="g-1"'


@pytest.mark.parametrize(
    ("series", "wanted"),
    [
        ({f"maskweave_requests_in_flight{{{G}}}": "0x10"}, 0),
        ({f"maskweave_requests_in_flight{{{G}}}": "3x10"}, 1),
        ({f'maskweave_failures_total{{{G},reason="ENGINE_UNREACHABLE"}}': "0+5x10"}, 1),
        ({f'maskweave_failures_total{{{G},reason="INVALID_FIELD"}}': "0+5x10"}, 0),
        ({f'maskweave_failures_total{{{G},reason="ENGINE_UNREACHABLE"}}': "_x7 1x10"}, 1),
        ({f'maskweave_failures_total{{{G},reason="ENGINE_UNREACHABLE"}}': "1x10"}, 0),
        ({f"up{{{G.replace('g-1', 'g-2')}}}": "1x10"}, 1),
    ],
    ids=["idle", "calls", "refused", "bad requests", "the first refused", "refused long ago", "one starts"],
)
def test_triton_comes_up_from_zero_when_it_is_wanted(
    tmp_path: Path, series: dict[str, str], wanted: int
) -> None:
    scaled = named(rendered("keda"), "ScaledObject", "rel-maskweave-triton")
    query = scaled["spec"]["triggers"][-1]["metadata"]["query"]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values}
            for name, values in {
                f"up{{{G}}}": "1x10",
                f"maskweave_build_info{{{G}}}": "1x10",
                **series,
            }.items()
        ],
        "promql_expr_test": [
            {"expr": query, "eval_time": "8m", "exp_samples": [{"labels": "{}", "value": wanted}]}
        ],
    }
    assert not tried_rules(tmp_path, [], test)
