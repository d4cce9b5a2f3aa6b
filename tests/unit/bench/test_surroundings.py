"""Metrics pages, targets and the machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from maskweave_bench.environment import cgroup_cpus, cgroup_memory, fingerprint
from maskweave_bench.metrics_page import MetricsPageError, between, fetch, means, parse, server_cpu_seconds
from maskweave_bench.record import Load
from maskweave_bench.target import Target, TargetError, Tls, check, parse_target
from maskweave_bench.trials import turns
from maskweave_bench.triton_statistics import by_model, triton_means

PAGE = """# TYPE maskweave_stage_duration_seconds histogram
maskweave_stage_duration_seconds_bucket{stage="head",le="+Inf"} %d
maskweave_stage_duration_seconds_count{stage="head"} %d
maskweave_stage_duration_seconds_sum{stage="head"} %f
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total %f
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="m",version="1"} %d
# TYPE maskweave_build_info gauge
maskweave_build_info{version="1.2"} 1.0
# TYPE other_total counter
other_total 5
"""


def test_metrics_of_a_time_are_what_grew_in_it() -> None:
    before, after = parse(PAGE % (10, 10, 1.0, 5.0, 1000)), parse(PAGE % (30, 30, 2.0, 7.5, 4000))
    grown = between(before, after)
    assert means(grown) == {"maskweave_stage_duration_seconds{stage=head}": pytest.approx(0.05)}
    assert server_cpu_seconds(grown) == pytest.approx(2.5)
    assert grown["nv_inference_compute_infer_duration_us_total{model=m,version=1}"] == 3000
    assert "other_total" not in grown
    assert after.info == {"maskweave_build version": "1.2"}
    assert between(after, before) == {}  # the service began anew


TRITON = """# TYPE nv_inference_request_success counter
nv_inference_request_success{model="head",version="1"} %d
nv_inference_request_success{model="head",version="2"} 0
# TYPE nv_inference_count counter
nv_inference_count{model="head",version="1"} %d
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{model="head",version="1"} %d
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="head",version="1"} %d
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{gpu_uuid="GPU-1",model="head",version="1"} %d
"""


def test_tritons_own_statistics_are_told_for_each_request() -> None:
    grown = between(parse(TRITON % (10, 20, 5, 100, 1000)), parse(TRITON % (110, 220, 55, 50_100, 301_000)))
    assert triton_means(grown) == {
        "triton head queue": pytest.approx(500e-6),
        "triton head compute_infer": pytest.approx(3000e-6),
        "triton head batch": pytest.approx(4.0),
    }
    assert by_model({**triton_means(grown), "other": 1.0})["head"]["batch"] == pytest.approx(4.0)
    assert triton_means({}) == {}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/metrics", "file:///etc/hostname", "nothing"])
def test_page_that_cannot_be_read_is_named(url: str) -> None:
    with pytest.raises(MetricsPageError, match="metrics page"):
        fetch([url])


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
        ({"cpu.max": "what"}, None),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, files: dict[str, str], cpus: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_cpus(tmp_path) == cpus
    (tmp_path / "memory.max").write_text("1024\n")
    assert cgroup_memory(tmp_path) == 1024


def test_fingerprint_tells_no_name_of_the_machine() -> None:
    found = fingerprint({"threads": "2"})
    assert found["usable_cores"] >= 1
    assert found["grpcio"]
    assert found["labels"] == {"threads": "2"}
    assert platform.node() not in {str(value) for value in found.values()}


def test_targets_are_read() -> None:
    assert parse_target("h:1") == ("h:1", ("h:1",))
    assert parse_target("fleet=h:1, g:2") == ("fleet", ("h:1", "g:2"))
    assert parse_target("dns:///h:1") == ("dns:///h:1", ("dns:///h:1",))


def test_keys_and_private_keys_are_not_shown() -> None:
    target = Target("a", ("h:1",), Tls(private_key=b"pem-secret"), "secret-key")
    assert "secret" not in repr(target)
    check([target], allow_insecure_key=False)
    with pytest.raises(TargetError) as caught:
        check([Target("a", ("localhost:1",), api_key="bad key")], allow_insecure_key=False)
    assert "bad key" not in str(caught.value)


def test_targets_take_turns_and_none_is_always_the_first() -> None:
    loads = [Load(kind="closed", clients=number, seconds=1) for number in (1, 2)]
    planned = turns(2, loads, 2)
    assert [turn.target for turn in planned] == [0, 1, 0, 1, 1, 0, 1, 0]
    assert [turn.repeat for turn in planned] == [0] * 4 + [1] * 4
    assert [turn.load for turn in planned[:4]] == [loads[0], loads[0], loads[1], loads[1]]
