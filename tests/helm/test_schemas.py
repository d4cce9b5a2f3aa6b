"""Every manifest is what Kubernetes and the operators take, and the checks would notice if it were not."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import Any

import pytest

from tests.support.chart import ENVIRONMENT, ROOT, SCENARIOS, Manifest, of_kind, rendered

WRONG: list[tuple[str, str, str, Any]] = [
    ("everything", "Deployment", "spec.template.spec.containers.0.imagePullPolice", "Always"),
    ("everything", "HorizontalPodAutoscaler", "spec.behavior.scaleDown.window", 3),
    ("everything", "NetworkPolicy", "spec.policyTypes", "Ingress"),
    ("everything", "Ingress", "spec.ingressClass", "nginx"),
    ("everything", "PodDisruptionBudget", "spec.maxUnavailable", [1]),
    ("everything", "GRPCRoute", "spec.rules.0.matches.0.method.servise", "x"),
    ("everything", "GRPCRoute", "spec.rules.0.backendRefs.0.weight", -1),
    ("everything", "ServiceMonitor", "spec.endpoints.0.intervall", "15s"),
    ("everything", "PrometheusRule", "spec.groups.0.rules.0.expression", "up"),
    ("keda", "ScaledObject", "spec.minReplicas", 1),
    ("keda", "ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behaviour", {}),
    ("keda", "ScaledObject", "spec.pollingInterval", "often"),
    ("keda", "ScaledObject", "apiVersion", "keda.sh/v9"),
]
"""Scenario, kind, field and the value that is wrong."""


def changed(manifest: Manifest, path: str, value: Any) -> Manifest:
    """A manifest with one field set."""
    result = copy.deepcopy(manifest)
    *way, last = path.split(".")
    node: Any = result
    for name in way:
        node = node[int(name)] if name.isdigit() else node[name]
    node[last] = value
    return result


@pytest.fixture(scope="module")
def problems() -> dict[str, list[str]]:
    """What is wrong, by scenario and by wrong manifest; found in one run, because its imports are slow."""
    asked = {scenario: rendered(scenario) for scenario in SCENARIOS}
    for number, (scenario, kind, path, value) in enumerate(WRONG):
        asked[f"wrong {number}"] = [changed(of_kind(asked[scenario], kind)[0], path, value)]
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", ROOT / "tests" / "helm" / "validate.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_manifest_is_valid(problems: dict[str, list[str]], scenario: str) -> None:
    assert problems.get(scenario, []) == []


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{each[1]} {each[2]}" for each in WRONG])
def test_a_wrong_manifest_is_noticed(problems: dict[str, list[str]], number: int) -> None:
    assert problems.get(f"wrong {number}")


def test_metadata_of_keda_are_text() -> None:
    """The cluster refuses numbers there."""
    for each in of_kind(rendered("keda"), "ScaledObject"):
        for trigger in each["spec"]["triggers"]:
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
