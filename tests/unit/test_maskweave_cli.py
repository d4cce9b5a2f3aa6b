"""The `maskweave` command: verbs load alone, and what is missing is said plainly."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import maskweave_cli


def modules_after(arguments: list[str]) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after running the command."""
    program = (
        "import sys, maskweave_cli\n"
        f"maskweave_cli.main({arguments!r}, standalone_mode=False)\n"
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_help_lists_every_verb_and_imports_none() -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["--help"])
    assert result.exit_code == 0
    for verb, summary in maskweave_cli.SUMMARIES.items():
        assert f"{verb} " in result.output
        assert summary in result.output
    assert modules_after(["--help"]).isdisjoint({"service", "training", "export", "torch", "grpc", "numpy"})


def test_every_verb_has_a_summary() -> None:
    installed = {entry.name for entry in entry_points(group=maskweave_cli.ENTRY_POINT_GROUP)}
    assert installed == set(maskweave_cli.SUMMARIES)


def test_serving_never_imports_torch() -> None:
    loaded = modules_after(["serve", "--help"])
    assert "service" in loaded
    assert loaded.isdisjoint({"torch", "training", "export", "onnx", "sklearn"})


@pytest.mark.parametrize("verb", sorted(maskweave_cli.SUMMARIES))
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(maskweave_cli.main, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_unknown_verb_is_a_usage_error() -> None:
    result = CliRunner().invoke(maskweave_cli.main, ["weave"])
    assert result.exit_code == click.UsageError.exit_code
    assert "No such command 'weave'" in result.output


def command_that_imports(library: str, *, when_loaded: bool) -> EntryPoint:
    """An entry point of the training package that needs a library at once or only when it runs."""

    class Verb(EntryPoint):
        def load(self) -> click.Command:
            if when_loaded:
                importlib.import_module(library)
            return click.Command("train", callback=lambda: importlib.import_module(library))

    return Verb("train", "training.cli.train:train", maskweave_cli.ENTRY_POINT_GROUP)


@pytest.mark.parametrize("when_loaded", [True, False], ids=["when loaded", "when run"])
def test_missing_library_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, when_loaded: bool
) -> None:
    entry = command_that_imports("no_such_library.part", when_loaded=when_loaded)
    monkeypatch.setattr(maskweave_cli, "entry_points", lambda group: [entry])
    result = CliRunner().invoke(maskweave_cli.main, ["train"])
    assert result.exit_code == 1
    assert "`maskweave train` needs the package 'no_such_library'" in result.output
    assert "pip install 'maskweave[train]'" in result.output


def test_missing_module_of_ours_is_not_blamed_on_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("serve", "service.no_such_module:serve", maskweave_cli.ENTRY_POINT_GROUP)
    monkeypatch.setattr(maskweave_cli, "entry_points", lambda group: [broken])
    with pytest.raises(ModuleNotFoundError, match=r"service\.no_such_module"):
        maskweave_cli.main(["serve"], standalone_mode=False)


def test_entry_point_that_is_no_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = EntryPoint("serve", "maskweave_cli:SUMMARIES", maskweave_cli.ENTRY_POINT_GROUP)
    monkeypatch.setattr(maskweave_cli, "entry_points", lambda group: [wrong])
    with pytest.raises(TypeError, match="not a click command"):
        maskweave_cli.main(["serve"], standalone_mode=False)


def test_the_page_of_the_documentation_is_that_of_the_commands() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "commands.md").read_text()
    # In a process of its own: a command remembers with which options it told its help first.
    made = subprocess.run(
        [sys.executable, str(docs / "site" / "commands_page.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == page, "make commands-page"
    for verb in maskweave_cli.SUMMARIES:
        assert f"\n## maskweave {verb}\n" in page


@pytest.mark.parametrize("command", ["bench run", "bench capacity", "draw", "key"])
def test_the_page_of_commands_shows_what_help_shows(command: str) -> None:
    """Defaults included, which some commands show by their settings."""
    program = (
        "import sys, maskweave_cli\n"
        "arguments = [*sys.argv[1:], '--help']\n"
        "maskweave_cli.main(arguments, 'maskweave', terminal_width=100, max_content_width=100)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()], capture_output=True, text=True, check=True
    )
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert f"# maskweave {command}\n\n```text\n{done.stdout.rstrip()}\n" in page
