"""Every scenario is linted and rendered by the real helm, and compared with what was committed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from tests.helm.renew import schema_text
from tests.support.chart import CHART, GOLDEN, ROOT, SCENARIOS, helm, rendered, rendered_text
from tests.support.chart_values import UndocumentedValueError, read_values, readme

CHANGED = "is not what the chart renders now; look at the difference, then `make chart`"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lint_finds_nothing(scenario: str) -> None:
    done = helm("lint", "--strict", "--values", SCENARIOS[scenario], CHART)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_renders_what_was_committed(scenario: str) -> None:
    golden = GOLDEN / f"{scenario}.yaml"
    assert golden.read_text() == rendered_text(scenario), f"{golden.name} {CHANGED}"


def test_there_is_no_render_without_a_scenario() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(SCENARIOS)
    assert len(SCENARIOS) >= 10


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_says_what_it_is(scenario: str) -> None:
    assert SCENARIOS[scenario].read_text().startswith("# ")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_two_objects_have_one_name(scenario: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(scenario)]
    assert len(names) == len(set(names))


def test_schema_and_readme_are_made_from_the_values() -> None:
    assert (CHART / "values.schema.json").read_text() == schema_text(), "make chart"
    assert (CHART / "README.md").read_text() == readme(), "make chart"


def test_a_value_without_a_description_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "values.yaml"
    bare.write_text("# -- Said.\none: 1\n\ntwo: 2\n")
    monkeypatch.setattr("tests.support.chart_values.VALUES", bare)
    with pytest.raises(UndocumentedValueError, match=r"two in values\.yaml has no comment"):
        read_values()


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_is_packaged_with_all_that_it_reads(tmp_path: Path) -> None:
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    values = SCENARIOS["everything"]
    from_package = helm(
        "template", "rel", package, "--namespace", "faces", "--kube-version", "1.37.0", "--values", values
    )
    assert from_package.stdout == rendered_text("everything")


def test_notes_tell_how_to_call() -> None:
    values = SCENARIOS["embedded-minimal"]
    done = helm("install", "rel", CHART, "--namespace", "faces", "--dry-run=client", "--values", values)
    assert done.returncode == 0, done.stderr
    assert "dns:///rel-maskweave-headless.faces.svc.cluster.local:50051" in done.stdout
    assert "Whoever reaches the port may have images made" in done.stdout
