"""The comparison with peers, small: the gateway and plain grpc.aio."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.load import KINDS, shifted
from benchmarks.peers.plan import plan_of
from benchmarks.peers.table import GRAPHS, OURS, PEERS, REQUIREMENTS, ROOT, SERVERS

PLAIN = "plain grpc.aio"
SHIPPED = ROOT / "model_repository"


def test_the_gateway_and_a_peer_are_compared(tmp_path: Path) -> None:
    output = tmp_path / "peers.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers",
        "--peer",
        OURS,
        "--peer",
        PLAIN,
        "--output",
        str(output),
    ]
    command += ["--rounds", "1", "--seconds", "0.5", "--clients", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    written = json.loads(output.read_text())
    assert set(written["median"]) == {GRAPHS, OURS, PLAIN}
    for name in (OURS, PLAIN):
        found = written["median"][name]
        assert found["one"]["images"] > 0
        assert found["several"]["per_second"] > 0
        assert found["several"]["cpu_ms_per_image"] > 0
        assert found["resident_mib"] > 1
    ours = written["median"][OURS]["one"]
    assert 0 < ours["own"]["p50"] < ours["total"]["p50"] <= ours["observed"]["p50"]
    assert f"| {PLAIN} |" in done.stdout


def test_a_server_that_gives_no_images_ends_the_run_and_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--peer", OURS, "--seconds", "1", "--rounds", "1"]
    command += ["--peer-repository", str(SHIPPED), "--model-repository", str(tmp_path)]
    command += ["--output", str(tmp_path / "peers.json")]  # not over what is committed
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert f"{OURS} ended with exit code 1" in done.stderr


def test_the_plan_runs_the_stages_in_their_order() -> None:
    plan = plan_of(SHIPPED, "faces64_label_map")
    assert [step["model"].removeprefix("faces64_") for step in plan["steps"]] == [
        "generator_head",
        "mapper_label_map",
        "target_reader",
        "rearranger",
        "generator_tail",
    ]
    assert all(Path(step["file"]).is_file() for step in plan["steps"])
    assert plan["label_map"] == [64, 64]
    assert 0 < plan["latent_scale"] <= 1


def test_other_inputs_are_no_work_for_peers() -> None:
    with pytest.raises(ValueError, match="faces64_exemplar takes PICTURE, LATENT; a peer gives"):
        plan_of(SHIPPED, "faces64_exemplar")


def test_every_peer_can_be_started_asked_and_installed() -> None:
    locked = {f"peer-{file.stem}" for file in REQUIREMENTS.glob("*.txt")}
    assert locked == {f"peer-{file.stem}" for file in REQUIREMENTS.glob("*.in")}
    used = {peer.environment for peer in PEERS.values()}
    assert {each for each in used if each.startswith("peer-")} == locked
    for peer in PEERS.values():
        assert peer.kind in KINDS
    scripts = {part for peer in PEERS.values() for part in peer.command if part.endswith(".py")}
    assert all((SERVERS / script).is_file() for script in scripts)


def test_label_maps_of_one_who_draws_are_all_different_and_valid() -> None:
    given = sorted((ROOT / "client" / "examples" / "label_maps").glob("*.png"))[0].read_bytes()
    made = shifted(given, 256)
    assert made[0] == given
    assert shifted(given, 1) == [given]
    counts = []
    for each in (made[0], made[17], made[255]):
        with Image.open(io.BytesIO(each)) as image:
            assert image.mode == "P"
            counts.append(np.bincount(np.asarray(image).ravel(), minlength=8).tolist())
    assert counts[0] == counts[1] == counts[2]
    assert len(set(made)) == 256
