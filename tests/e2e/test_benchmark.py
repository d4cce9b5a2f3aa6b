"""The figures of the performance page, measured in a hurry, and the launcher around a service of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.local_service import ServiceFailedError, local_service
from benchmarks.measure import PARTS
from benchmarks.page import page
from benchmarks.scenario_files import NEW_SEED, REPEATED_SEED
from maskweave_client import Client, DeadlineExceeded, Unavailable

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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_figures_are_measured_and_shown(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "figures" / "gateway.json"
    flags = ["--quick", "--model-repository", repository, "--untrained", repository, "--output", output]
    done = run("benchmarks.measure", *flags)
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())
    assert list(figures) == list(PARTS)
    for part in figures.values():
        assert part["environment"]["models"].keys() >= {f"{stage}/1/model.onnx" for stage in STAGES}
    stages = figures["stages"]["figures"]
    assert stages["bare"]["stages"].keys() == STAGES
    for name in (NEW_SEED, REPEATED_SEED):
        assert stages[name]["parts"].keys() >= {f"stage {stage}" for stage in STAGES}
        assert stages[name]["failed"] == 0
    assert [row["clients"] for row in figures["growth"]["figures"]["clients"]] == [1, 2]
    assert figures["models"]["figures"]["models"]["faces64"]["eight"]["failed"] == 0
    assert figures["knee"]["figures"]["rates"]
    rates = figures["overload"]["figures"]["rates"]
    assert sum(sum(row["codes"].values()) for row in rates) > 0
    assert figures["start"]["figures"]["resident_mib"][0] > 20

    text = page(output.parent)
    assert text.count("Measured on ") == len(PARTS)
    assert "Not measured in this version: `make bench-peers`" in text
    assert all(stage in text for stage in STAGES)
    assert "nan" not in text


def test_a_heavy_model_is_served_in_every_way_or_says_why_not(repository: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    (models / "flops.json").write_text(json.dumps({"faces64_label_map": dict.fromkeys(STAGES, 10**6)}))
    output = tmp_path / "heavy.json"
    flags = ["--repository", models, "--model", "faces64", "--requests", 1, "--seconds", 0.01]
    for way in ("onnxruntime fp32", "openvino fp32", "openvino int8"):
        flags += ["--way", way]
    done = run("benchmarks.heavy", *flags, "--output", output)
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())["figures"]
    assert figures["best_convolution_flops_per_second"] > 1e8
    ways = figures["ways"]
    for way in ("onnxruntime fp32", "openvino fp32"):
        assert ways[way].get("stages", ways[way]).keys() == STAGES, ways[way]
        assert ways[way]["memory_mib"] > 20
    assert "never compared" in ways["openvino int8"]["refused"]
    assert str(tmp_path) not in json.dumps(ways)
    text = page(tmp_path)
    assert "onnxruntime fp32, ms" in text
    assert "| faces64_rearranger | 0.00 |" in text
    assert "- openvino int8: " in text


def test_a_part_that_cannot_be_measured_says_so(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "gateway.json"
    flags = ["--quick", "--part", "overload", "--model", "cats", "--output", output]
    done = run("benchmarks.measure", "--model-repository", repository, *flags)
    assert done.returncode == 1
    assert "cats" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_the_page_is_in_step_with_its_figures() -> None:
    done = run("benchmarks.page", "--check")
    assert done.returncode == 0, done.stderr
