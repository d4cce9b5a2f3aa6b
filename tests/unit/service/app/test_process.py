"""What the process has: the CPUs of a container, descriptors for ports, an interpreter that has settled."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from service.app.process import MOST_GRPC, MOST_HTTP, available_cpus, connection_limits


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5, 7})


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("1600000 100000\n", 4),
        ("max 100000\n", 4),
        ("", 4),
        ("1", 1),
        ("0 0", 4),
        ("nonsense", 4),
        ("nan 100000", 4),
        ("100000 inf", 4),
    ],
)
def test_cpus_of_cgroup_v2(tmp_path: Path, cpu_max: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(cpu_max)
    assert available_cpus(tmp_path) == expected


@pytest.mark.parametrize("controller", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("250000\n", 3), ("-1\n", 4), ("10000\n", 1)])
def test_cpus_of_cgroup_v1(tmp_path: Path, controller: str, quota: str, expected: int) -> None:
    (tmp_path / controller).mkdir()
    (tmp_path / controller / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / controller / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == expected


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "absent") == 4


@pytest.mark.parametrize(
    ("limit", "grpc", "http"),
    [
        (resource.RLIM_INFINITY, MOST_GRPC, MOST_HTTP),
        (2**20, MOST_GRPC, MOST_HTTP),
        (1024, 704, 256),
        (160, 80, 40),
        (1, 1, 1),
    ],
)
def test_connections_leave_descriptors_for_other_things(
    monkeypatch: pytest.MonkeyPatch, limit: int, grpc: int, http: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert connection_limits() == (grpc, http)
    assert limit < 2 or limit - grpc - http >= min(64, limit // 4)


SCRIPT = """
import gc, json, weakref
from service.app.process import settle

class Knot:
    pass

kept = [[] for _ in range(1000)]
settle()
frozen = gc.get_freeze_count()
knot = Knot()
knot.itself = knot
gone = weakref.ref(knot)
del knot
gc.collect()
print(json.dumps([frozen, len(gc.get_objects()), gone() is None, gc.isenabled()]))
"""


def test_what_was_there_is_left_alone_and_what_comes_later_is_collected() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True)
    frozen, left, collected, enabled = json.loads(done.stdout)
    assert frozen > 1000 > left
    assert collected
    assert enabled
