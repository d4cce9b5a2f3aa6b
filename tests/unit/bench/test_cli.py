"""The commands: what they refuse, what they exit with, and that they need no service on the machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from maskweave_bench import measure_cli
from maskweave_bench.cli import bench
from maskweave_bench.record import Trial
from maskweave_bench.results import Results, TargetResult
from maskweave_bench.session import EXIT_CANNOT_TELL, EXIT_WORSE
from tests.unit.bench.simulated import trials

ROOT = Path(__file__).parents[3]
PAGES = (
    "client/README.md",
    "docs/benchmarking.md",
    "docs/scale.md",
    "docs/operations.md",
    "benchmarks/README.md",
)

pytestmark = pytest.mark.timeout(600)  # sums of many simulated runs, on whatever machine


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(bench, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def file_of(path: Path, found: list[Trial], name: str = "a") -> Path:
    Results(
        version="1",
        created="now",
        command=[],
        scenario={"name": "s"},
        environment={},
        targets=[TargetResult(name=name, addresses=["h:1"], tls=False, model="m", model_version="1")],
        trials=found,
    ).write(path)
    return path


def test_gate_ends_with_its_code(tmp_path: Path) -> None:
    before = file_of(tmp_path / "before.json", trials(1))
    slower = file_of(tmp_path / "slower.json", trials(2, slower=1.4))
    short = file_of(tmp_path / "short.json", trials(3, 1))
    worse = run("compare", before, slower, "--html", tmp_path / "page.html")
    assert worse.exit_code == EXIT_WORSE
    assert "**a now is worse than a before.**" in worse.output
    assert "a now is worse than a before" in (tmp_path / "page.html").read_text()
    assert run("compare", slower, before).exit_code == 0
    assert run("compare", before, slower, "--p50-tolerance", 2, "--p99-tolerance", 2).exit_code == 0
    assert run("compare", before, short).exit_code == 0
    assert run("compare", before, short, "--strict").exit_code == EXIT_CANNOT_TELL


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    before = file_of(tmp_path / "before.json", trials(1))
    empty = file_of(tmp_path / "empty.json", [])
    result = run("compare", before, empty)
    assert result.exit_code == 1
    assert "no pair of trials" in result.output


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "something/2"}', "\x00"])
def test_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    result = run("report", file)
    assert result.exit_code == 1
    assert "not results of maskweave bench" in result.output


def test_report_is_written_anew(tmp_path: Path) -> None:
    file = file_of(tmp_path / "x.json", trials(1))
    assert "# Latency of a" in run("report", file).output
    assert run("report", file, "--html", tmp_path / "x.html", "--markdown", tmp_path / "x.md").exit_code == 0
    assert (tmp_path / "x.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "x.md").read_text().startswith("# Latency")


def test_scenarios_are_listed_and_printed() -> None:
    assert "label-map " in run("scenarios").output
    assert run("scenarios", "mixed").output.startswith("name: mixed")
    assert run("scenarios", "none").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--target", "a=x:1", "--target", "a=y:1"), "got the name 'a' twice"),
        (("--target", "a=x:1,"), "allowed: [NAME=]HOST:PORT"),
        (("--target", "<b>=x:1"), "got the name '<b>'"),
        (("--scenario", "nothing"), "one of conditions"),
        (("--ramp", "fast"), "allowed: FROM:TO"),
        (("--metrics", "b=http://x/metrics"), "with the name of a target: localhost:50051"),
        (("--label", "x"), "allowed: KEY=VALUE"),
        (("--seconds", "1", "--warmup", "0.9"), "at most half of --seconds"),
        (("--tls-certificate", __file__), "go together"),
        (("--rate", "0"), "0.001"),
    ],
)
def test_wrong_use_is_told_before_anything_is_asked(arguments: tuple[str, ...], told: str) -> None:
    result = run("run", *arguments)
    assert result.exit_code in {1, 2}
    assert told in result.output


@pytest.mark.parametrize(
    ("arguments", "seconds", "repeats"),
    [
        ((), 10.0, 3),
        (("--target", "a=h:1", "--target", "b=h:2"), 5.2, 3),
        (("--target", "a=h:1", "--target", "b=h:2", "--repeats", 10), 3.0, 10),
        (("--seconds", 20), 20.0, 3),
        (("--rate", 5), 10.0, 5),
    ],
)
def test_without_loads_two_targets_take_less_than_five_minutes(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], seconds: float, repeats: int
) -> None:
    seen: dict[str, Any] = {}

    def stop(given: dict[str, Any]) -> None:
        seen.update(given)
        raise click.ClickException("enough")

    monkeypatch.setattr(measure_cli, "read_common", stop)
    assert "enough" in run("run", *arguments).output
    assert (seen["seconds"], seen["repeats"]) == (seconds, repeats)


def test_key_is_not_sent_where_others_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWEAVE_API_KEY", "secret-key")
    result = run("run", "--target", "far.example:443")
    assert result.exit_code == 1
    assert "would be sent to far.example:443 unencrypted" in result.output
    assert "secret-key" not in result.output


def test_it_imports_no_service_and_nothing_of_training() -> None:
    program = (
        "import sys, maskweave_bench.cli;"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'service', 'training', 'torch',"
        " 'onnxruntime', 'maskweave_client', 'maskweave_cli', 'benchmarks', 'export'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_without_its_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['hdrh'] = None; sys.modules['hdrh.histogram'] = None;"
        "from maskweave_bench.command import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs the package 'hdrh'" in done.stderr
    assert "pip install 'maskweave-client[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_commands_and_options_that_there_are(page: str) -> None:
    text = (ROOT / page).read_text().replace("\\\n", " ")
    named = re.findall(r"maskweave[ -]bench ([a-z]+)([^\n`|]*)", text)
    assert named
    for command, rest in named:
        known = {option for each in bench.commands[command].params for option in each.opts}
        assert set(re.findall(r"--[a-z0-9-]+", rest)) <= known, command
