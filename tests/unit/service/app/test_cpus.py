"""CPUs of a container: affinity, and the quotas of both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.app.cpus import available_cpus


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
def test_cgroup_v2(tmp_path: Path, cpu_max: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(cpu_max)
    assert available_cpus(tmp_path) == expected


@pytest.mark.parametrize("controller", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("250000\n", 3), ("-1\n", 4), ("10000\n", 1)])
def test_cgroup_v1(tmp_path: Path, controller: str, quota: str, expected: int) -> None:
    (tmp_path / controller).mkdir()
    (tmp_path / controller / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / controller / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == expected


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "absent") == 4
