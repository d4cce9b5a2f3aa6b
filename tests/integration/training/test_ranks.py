"""Several processes carry out one run: as one process does in micro-batches, and after it was stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.tiny_pack import checkpoint_step
from training.runs.distributed import launch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[3]
STEPS = 6


def train(
    folder: Path,
    *,
    devices: int,
    accumulate: int,
    steps: int = STEPS,
    torchrun: int = 0,
    stage: str = "proxies",
) -> str:
    """Run the support program, started by torchrun as so many processes if that is not 0; returns stderr."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={torchrun}"] if torchrun else []
    arguments = [str(folder), str(devices), str(accumulate), str(steps), stage]
    finished = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.support.ranks", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def assert_alike(one: Path, other: Path) -> None:
    """Weights and metrics of two runs, but for the order in which numbers were added."""
    weights, expected = (load_file(each / "pack" / "proxy_segmenter.safetensors") for each in (one, other))
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name].float(), tensor.float(), rtol=2e-2, atol=2e-3, msg=name)
    lines, wanted = (
        [json.loads(line) for line in (each / "runs/proxy_segmenter/metrics.jsonl").read_text().splitlines()]
        for each in (one, other)
    )
    assert [line["step"] for line in lines] == [line["step"] for line in wanted] == [2, 4, 6]
    for line, want in zip(lines, wanted, strict=True):
        assert line["loss"] == pytest.approx(want["loss"], rel=1e-3)
        assert line["accuracy"] == pytest.approx(want["accuracy"], abs=0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, two micro-batches."""
    folder = tmp_path_factory.mktemp("alone")
    train(folder, devices=1, accumulate=2)
    return folder


def test_two_processes_of_torchrun_make_the_steps_of_one(alone: Path, tmp_path: Path) -> None:
    """Those that the command starts by itself are below."""
    train(tmp_path, devices=2, accumulate=1, torchrun=2)
    assert_alike(tmp_path, alone)


def test_a_run_stopped_on_two_goes_on_on_one(alone: Path, tmp_path: Path) -> None:
    train(tmp_path, devices=2, accumulate=1, steps=4)
    assert checkpoint_step(tmp_path / "runs", "proxy_segmenter") == 4
    # The learning rate follows the number of steps: what matters is that the run begins at the fifth.
    train(tmp_path, devices=1, accumulate=2)
    lines = (tmp_path / "runs/proxy_segmenter/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6]


def test_another_number_of_processes_than_torchrun_started_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # as torchrun tells its processes
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = "--devices 1 and --nodes 1: that makes 1 processes, but torchrun has started 2"
    with pytest.raises(ValueError, match=told):
        launch("cpu", devices=1)


def test_groupdnet_makes_the_same_steps_on_two_processes(tmp_path: Path) -> None:
    """Two networks that learn by turns, of which one's graph outlives the other's update."""
    train(tmp_path / "one", devices=1, accumulate=2, stage="styles", steps=2)
    train(tmp_path / "two", devices=2, accumulate=1, stage="styles", steps=2)
    for name in ("label_segmenter", "groupdnet", "expectation", "prior"):
        found, wanted = (
            load_file(tmp_path / each / "pack" / f"{name}.safetensors") for each in ("two", "one")
        )
        assert found.keys() == wanted.keys()
        if name == "prior":
            continue  # its axes may point either way
        for key, tensor in wanted.items():
            torch.testing.assert_close(
                found[key].float(), tensor.float(), rtol=2e-2, atol=2e-3, msg=f"{name}: {key}"
            )
