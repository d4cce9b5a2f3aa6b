"""The one script for a GPU that is lent runs, small, on a CPU, and leaves everything it could measure."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from export.gpu.__main__ import Notes, main


def test_it_measures_what_this_machine_has(tmp_path: Path) -> None:
    output = tmp_path / "out" / "gpu.json"
    flags = ["--batch", "1", "--seconds", "0.001", "--heavy-resolution", "64", "--heavy-widest", "16"]
    ways = ("PyTorch eager fp32", "ONNX Runtime fp32", "ONNX Runtime fp16", "ONNX Runtime graph fp32")
    for way in ways:
        flags += ["--way", way]
    flags += ["--stage", "generator_tail"]  # the cheapest to export
    result = CliRunner().invoke(main, [*flags, "--output", str(output)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    assert found["device"]["torch"]
    assert found["best"].keys() == {
        *(f"{precision} operations per second" for precision in ("fp32", "fp16", "bf16")),
        "bytes per second",
    }
    assert found["models"].keys() == {"faces64", "stylegan2_64"}
    for model, stages in found["models"].items():
        assert stages.keys() == {f"{model}_generator_tail"}
        for stage in stages.values():
            assert stage.keys() == set(ways)
            for way in ways[:3]:
                assert stage[way]["1"]["seconds"] > 0
            if found["device"]["gpu"] is None:
                assert "CUDA graphs" in stage[ways[3]]["1"]["failed"]


def test_a_machine_that_is_taken_back_leaves_what_was_measured(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    notes = Notes(output, budget_seconds=60)

    def fails() -> float:
        raise RuntimeError("no memory")

    assert notes.step("a", "b", figure=lambda: 1.5) == 1.5
    assert notes.step("a", "c", figure=fails) is None
    notes.budget_seconds = -1
    assert notes.step("a", "d", figure=lambda: 2.5) is None
    assert json.loads(output.read_text()) == {
        "a": {"b": 1.5, "c": {"failed": "RuntimeError: no memory"}, "d": {"left_out": "the time was over"}}
    }
