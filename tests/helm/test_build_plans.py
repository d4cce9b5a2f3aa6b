"""build-plans.sh, with stand-ins for exporter and GPU: it builds once and takes from the cache after that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.chart import CHART

SCRIPT = CHART / "files" / "build-plans.sh"

# check-plans: a plan fits that names this machine and this graph. engines: writes such a plan.
EXPORTER = """#!/usr/bin/env bash
set -eu
cd "$4"
wanted="$MACHINE $(cat m/1/model.onnx)"
case "$2" in
check-plans) [ "$(cat m/1/model.sm90.plan 2>/dev/null)" = "$wanted" ] ;;
engines) echo built >> "$BUILDS"; [ -z "${BROKEN:-}" ] || exit 1; echo "$wanted" > m/1/model.sm90.plan
    echo "entry" >> m/config.pbtxt; echo "{}" > m/1/model.sm90.plan.json ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("maskweave", EXPORTER), ("python3", '#!/bin/sh\necho "$MACHINE"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def repository(folder: Path, graph: str = "graph") -> Path:
    (folder / "m" / "1").mkdir(parents=True)
    (folder / "m" / "1" / "model.onnx").write_text(graph)
    (folder / "m" / "config.pbtxt").write_text("config\n")
    return folder


def build(
    programs: Path, folder: Path, machine: str = "sm90 trt10", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, folder],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "MACHINE": machine,
            "PLAN_CACHE": str(programs.parent / "cache"),
            "BUILDS": str(programs.parent / "builds"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def builds(tmp_path: Path) -> int:
    file = tmp_path / "builds"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_the_second_pod_takes_what_the_first_has_built(programs: Path, tmp_path: Path) -> None:
    for number in range(2):
        folder = repository(tmp_path / f"models-{number}")
        assert build(programs, folder).returncode == 0
        assert (folder / "m/1/model.sm90.plan").read_text() == "sm90 trt10 graph\n"
        assert (folder / "m/config.pbtxt").read_text() == "config\nentry\n"
    assert builds(tmp_path) == 1


@pytest.mark.parametrize(
    ("machine", "graph"), [("sm80 trt10", "graph"), ("sm90 trt11", "graph"), ("sm90 trt10", "other")]
)
def test_another_machine_or_graph_has_plans_of_its_own(
    programs: Path, tmp_path: Path, machine: str, graph: str
) -> None:
    assert build(programs, repository(tmp_path / "models-0")).returncode == 0
    assert build(programs, repository(tmp_path / "models-1", graph), machine).returncode == 0
    assert builds(tmp_path) == 2


def test_plans_that_fit_are_left_alone(programs: Path, tmp_path: Path) -> None:
    folder = repository(tmp_path / "models")
    assert build(programs, folder).returncode == 0
    assert build(programs, folder).returncode == 0
    assert builds(tmp_path) == 1


def test_a_damaged_cache_is_built_anew(programs: Path, tmp_path: Path, cache: Path) -> None:
    assert build(programs, repository(tmp_path / "models-0")).returncode == 0
    (plan,) = cache.glob("*/m/1/model.sm90.plan")
    plan.write_text("damaged")
    assert build(programs, repository(tmp_path / "models-1")).returncode == 0
    assert builds(tmp_path) == 2
    assert plan.read_text() == "sm90 trt10 graph\n"


def test_what_fails_is_not_kept(programs: Path, tmp_path: Path, cache: Path) -> None:
    assert build(programs, repository(tmp_path / "models"), BROKEN="1").returncode != 0
    assert not list(cache.iterdir())


def test_works_without_a_cache(programs: Path, tmp_path: Path, cache: Path) -> None:
    assert build(programs, repository(tmp_path / "models"), PLAN_CACHE="").returncode == 0
    assert not list(cache.iterdir())
