"""Several processes carry out one run: as one process does in micro-batches, and after it was stopped."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support import ranks
from tests.support.tiny_pack import checkpoint_step
from training.runs.distributed import launch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[3]
STEPS = 6


def train_on_two(folder: Path, stage: str, *, steps: int, torchrun: bool) -> None:
    """Run the support program as two processes, which torchrun starts or the command itself."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2"] if torchrun else []
    finished = subprocess.run(
        [sys.executable, *launcher, "-m", "tests.support.ranks", str(folder), "2", "1", str(steps), stage],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def train_alone(folder: Path, stage: str, *, steps: int) -> None:
    """The same in this process, in two micro-batches."""
    ranks.train(folder, 1, 2, steps, stage)


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
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes of torchrun."""
    folder = tmp_path_factory.mktemp("together")
    train_on_two(folder, "proxies", steps=STEPS, torchrun=True)
    return folder


def test_two_processes_of_torchrun_make_the_steps_of_one(together: Path, tmp_path: Path) -> None:
    """Those that the command starts by itself are below."""
    train_alone(tmp_path, "proxies", steps=STEPS)
    assert_alike(together, tmp_path)


def test_a_run_stopped_on_two_goes_on_on_one(together: Path, tmp_path: Path) -> None:
    """The run of two stands where a longer one would have been stopped."""
    shutil.copytree(together, tmp_path, dirs_exist_ok=True)
    assert checkpoint_step(tmp_path / "runs", "proxy_segmenter") == STEPS
    first = (tmp_path / "runs/proxy_segmenter/metrics.jsonl").read_text()
    # The learning rate follows the number of steps: what matters is that the run begins at the seventh.
    train_alone(tmp_path, "proxies", steps=STEPS + 2)
    lines = (tmp_path / "runs/proxy_segmenter/metrics.jsonl").read_text()
    assert lines.startswith(first)
    assert [json.loads(line)["step"] for line in lines.splitlines()] == [2, 4, 6, 8]


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
    train_alone(tmp_path / "one", "styles", steps=2)
    train_on_two(tmp_path / "two", "styles", steps=2, torchrun=False)
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
