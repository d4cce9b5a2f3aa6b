"""`maskweave export`: every command has its help, and servers without PyTorch can run what they need."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import maskweave_cli
from export.cli import SUMMARIES

HEAVY = {"torch", "onnx", "onnxruntime", "training", "tensorrt"}


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after running the command."""
    program = (
        "import sys, maskweave_cli\n"
        f"maskweave_cli.main({['export', *arguments]!r}, standalone_mode=False)\n"
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["export", "--help"])
    assert result.exit_code == 0
    assert all(name in result.output and summary in result.output for name, summary in SUMMARIES.items())


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["export", name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Usage: main export {name}" in result.output


def test_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["export", "faces64"])
    assert result.exit_code == 2
    assert "No such command 'faces64'" in result.output


@pytest.mark.parametrize("arguments", [("--help",), ("engines", "--help"), ("check-plans", "--help")])
def test_servers_need_no_pytorch(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(*arguments)
    assert "export" in loaded
    assert loaded.isdisjoint(HEAVY)
