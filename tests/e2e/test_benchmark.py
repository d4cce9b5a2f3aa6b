"""The latency benchmark and the launcher around it, against a real service of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.local_service import ServiceFailedError, local_service
from maskweave_client import Client, DeadlineExceeded, Unavailable
from tests.support.model_repository import RepositoryWriter
from tests.support.slow_pack import write_slow

STAGES = {
    "faces64_generator_head",
    "faces64_mapper_label_map",
    "faces64_rearranger",
    "faces64_generator_tail",
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_local_service_is_ready_and_gone_afterwards(repository: Path) -> None:
    with local_service({"MODEL_REPOSITORY": str(repository)}) as service:
        with Client(service.address) as client:
            assert [model.name for model in client.models()] == ["faces64", "slow"]
        assert service.seconds_to_ready > 0
        address = service.address
    with Client(address, timeout=0.2) as client, pytest.raises((Unavailable, DeadlineExceeded)):
        client.models()


def test_local_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ServiceFailedError, match=r"ended with exit code 1 before it was ready; it printed:(?s:.)*nothing"
        ),
        local_service({"MODEL_REPOSITORY": str(tmp_path / "nothing")}),
    ):
        pytest.fail("it started")


def test_command_finds_the_service_and_its_exit_code_is_handed_on(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKWEAVE_MODEL_REPOSITORY", str(repository))
    program = (
        "import os, sys; from maskweave_client import Client;"
        "print(Client(os.environ['MASKWEAVE_ADDRESS']).model('faces64').version); sys.exit(7)"
    )
    done = run("benchmarks.with_service", "--", sys.executable, "-c", program)
    assert done.returncode == 7, done.stderr
    assert "1.2.3" in done.stdout


def test_benchmark_prints_tables_and_writes_figures(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "results" / "latency.json"
    load = ["--seconds", 0.5, "--warmup-seconds", 0.1, "--bare-passes", 5, "--clients", 1, "--clients", 3]
    done = run(
        "benchmarks.latency", "--model-repository", repository, *load, "--threads", 1, "--output", output
    )
    assert done.returncode == 0, done.stderr

    figures = json.loads(output.read_text())
    assert figures["threads"] == 1
    assert figures["environment"]["models"].keys() >= {f"{stage}/1/model.onnx" for stage in STAGES}
    assert figures["bare"]["stages"].keys() == STAGES
    one = figures["one_client"]
    assert one["new_seed"]["stages_cached"] == []
    assert one["repeated_seed"]["stages_cached"] == ["faces64_generator_head"]
    for loop in (*one.values(), *figures["sweep"]):
        assert loop["parts"].keys() >= STAGES | {"observed", "total", "queue", "decode", "encode", "own"}
        assert loop["requests_per_second"] > 0
        for part in loop["parts"].values():
            assert part["count"] == loop["parts"]["observed"]["count"]
            assert 0 <= part["p50"] <= part["p99"] <= part["max"]
        assert loop["parts"]["total"]["p50"] < loop["parts"]["observed"]["p50"]
    assert [loop["clients"] for loop in figures["sweep"]] == [1, 3]
    assert figures["saturated_at"] in {1, 3}

    for expected in (*STAGES, "observed", "own", "bare, before the load", "saturated", "requests/s"):
        assert expected in done.stdout


def test_benchmark_of_an_unknown_model_fails_plainly(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    done = run("benchmarks.latency", "--model-repository", repository, "--model", "cats", "--output", output)
    assert done.returncode == 1
    assert "cats" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_layouts_take_turns_and_every_one_is_in_the_table(tmp_path: Path) -> None:
    repository, output = tmp_path / "repository", tmp_path / "layouts.json"
    write_slow(RepositoryWriter(repository))
    load = ["--seconds", 0.3, "--rounds", 2, "--clients", 2, "--model", "slow", "--output", output]
    done = run("benchmarks.layouts", "--model-repository", repository, *load)
    assert done.returncode == 0, done.stderr
    announced = [line for line in done.stdout.splitlines() if line.startswith("round")]
    assert announced == [
        f"round {number} of 2: embedded, {layout}" for number in (1, 2) for layout in ("ensemble", "fused")
    ]
    figures = json.loads(output.read_text())["targets"]
    assert [(each["engine"], each["layout"]) for each in figures] == [
        ("embedded", "ensemble"),
        ("embedded", "fused"),
    ]
    for each in figures:
        assert len(each["rounds"]) == 2
        assert all(0 < one["new_seed_p50"] <= one["new_seed_p99"] for one in each["rounds"])
        assert all(one["per_second"] > 0 < one["repeated_seed_p50"] for one in each["rounds"])
    assert "pictures/s" in done.stdout


def test_layouts_that_a_repository_lacks_are_named(tmp_path: Path) -> None:
    root = Path(__file__).parents[2] / "model_repository"
    done = run("benchmarks.layouts", "--model-repository", root, "--output", tmp_path / "layouts.json")
    assert done.returncode == 1
    assert "the setting layout asks for 'fused', which faces64 has not for 'label_map'" in done.stderr
    assert "maskweave export repository --layout fused" in done.stderr


def test_every_kind_of_request_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "request_kinds.json"
    root = Path(__file__).parents[2] / "model_repository"
    done = run("benchmarks.request_kinds", "--model-repository", root, "--requests", 2, "--output", output)
    assert done.returncode == 0, done.stderr
    kinds = json.loads(output.read_text())["kinds"]
    conditions = ["label_map", "sketch", "scribble", "proxy_mask", "exemplar"]
    assert list(kinds) == [*conditions, "edit of a seed", "edit of a picture"]
    assert kinds["label_map"].keys() >= STAGES
    assert "faces64_sketch_reader" in kinds["sketch"]
    assert "faces64_scribble_completer" in kinds["scribble"]
    assert "faces64_mapper_label_map" not in kinds["proxy_mask"]
    # Nothing is remembered from one request to the next, of seeds or of pictures.
    for kind, stage in (("edit of a seed", "generator_head"), ("edit of a picture", "inverter")):
        assert kinds[kind][f"faces64_{stage}"]["p50"] > 0
    for parts in kinds.values():
        assert parts["observed"]["count"] == 2
        assert 0 < parts["total"]["p50"] < parts["observed"]["p50"]
    assert all(kind in done.stdout for kind in kinds)
