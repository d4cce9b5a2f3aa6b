"""The Helm chart, rendered by the real helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "maskweave"
GOLDEN = ROOT / "tests" / "helm" / "golden"
SCENARIOS = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
ENVIRONMENT = ROOT / ".venv" / "helm"
RELEASE, NAMESPACE = "rel", "faces"
KUBERNETES = "1.37.0"

Manifest = dict[str, Any]


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run helm to its end."""
    return subprocess.run(
        [ENVIRONMENT / "bin" / "helm", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def template(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Render the chart with these arguments."""
    options = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return helm("template", RELEASE, CHART, *options, *arguments)


def sets(values: Mapping[str, object]) -> tuple[str, ...]:
    """Arguments that set values, of whatever kind, by their dotted paths."""
    return tuple(
        part for path, value in values.items() for part in ("--set-json", f"{path}={json.dumps(value)}")
    )


@cache
def rendered_text(scenario: str) -> str:
    """What a scenario renders to."""
    done = template("--values", SCENARIOS[scenario])
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def rendered(scenario: str) -> list[Manifest]:
    """The objects of a scenario: everybody's, to be copied before anything is changed."""
    return manifests(rendered_text(scenario))


def manifests(text: str) -> list[Manifest]:
    """The objects in a text of YAML documents."""
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def of_kind(objects: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """Those of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def named(objects: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The one of a kind and name."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def pod_templates(objects: Sequence[Manifest]) -> list[tuple[str, Manifest]]:
    """Every pod that would be made: the name of its maker, and its metadata and spec."""
    templates = [
        (f"{each['kind']} {each['metadata']['name']}", each["spec"]["template"])
        for each in of_kind(objects, "Deployment", "Job")
    ]
    return templates + [(f"Pod {each['metadata']['name']}", each) for each in of_kind(objects, "Pod")]


def rule_groups(objects: Sequence[Manifest]) -> list[Manifest]:
    """The groups of all PrometheusRules."""
    return [group for each in of_kind(objects, "PrometheusRule") for group in each["spec"]["groups"]]


def kubernetes_definitions() -> Mapping[str, Any]:
    """Kubernetes' own strict definitions, by name."""
    folder = next(ENVIRONMENT.glob("lib/python3*/site-packages/kubernetes_validate/kubernetes-json-schema"))
    file = folder / f"v{KUBERNETES}-local-strict" / "_definitions.json"
    definitions: Mapping[str, Any] = json.loads(file.read_text())["$defs"]
    return definitions
