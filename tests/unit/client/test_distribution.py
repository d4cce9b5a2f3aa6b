"""What is handed to users: the wheel and the source distribution of the client."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "client"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, which is built from the source distribution, and that."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CLIENT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def files(distributions: tuple[Path, Path]) -> dict[str, bytes]:
    """The wheel's files by name."""
    with zipfile.ZipFile(distributions[0]) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.fixture(scope="module")
def metadata(files: dict[str, bytes]) -> Message:
    (name,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(files[name])


def test_the_wheel_has_all_of_the_package_and_nothing_else(files: dict[str, bytes]) -> None:
    wanted = {
        str(path.relative_to(root)): path.read_bytes()
        for root, package in (
            (CLIENT, "maskweave_client"),
            (CLIENT, "maskweave_bench"),
            (ROOT / "proto" / "python", "maskweave"),
        )
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name: data for name, data in files.items() if ".dist-info/" not in name} == wanted
    assert {
        "maskweave_client/py.typed",
        "maskweave/py.typed",
        "maskweave_client/_sync/_client.py",
    } <= wanted.keys()


def test_every_command_leads_to_a_module_of_the_wheel(files: dict[str, bytes]) -> None:
    (name,) = (name for name in files if name.endswith(".dist-info/entry_points.txt"))
    parser = ConfigParser()
    parser.read_string(files[name].decode())
    commands = {**parser["console_scripts"], **parser["maskweave.commands"]}
    verbs = {"bench", "draw", "edit", "morph", "models", "read-map"}
    assert {"maskweave-bench", "maskweave-client", *verbs} == set(commands)
    for target in commands.values():
        assert target.partition(":")[0].replace(".", "/") + ".py" in files


def test_the_pythons_that_it_is_for_are_named(metadata: Message) -> None:
    named = [each.rpartition(" ")[2] for each in metadata.get_all("Classifier", ()) if "Python :: 3." in each]
    assert named == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_the_wheel_carries_the_licence(files: dict[str, bytes], metadata: Message) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    assert (CLIENT / "LICENSE").read_bytes() == licence
    assert [data for name, data in files.items() if name.endswith(".dist-info/licenses/LICENSE")] == [licence]
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]


def test_the_description_is_the_readme_and_has_no_relative_links(metadata: Message) -> None:
    text = str(metadata.get_payload())
    assert text.strip() == (CLIENT / "README.md").read_text().strip()
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)\s]+)|^\[[^\]]+\]: *(\S+)|(?:src|href)=\"([^\"]+)", text, re.MULTILINE)
    assert [found for found in links if not "".join(found).startswith(("https://", "#"))] == []


def test_twine_has_nothing_to_say(distributions: tuple[Path, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *distributions],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_source_distribution_has_what_the_wheel_is_made_of(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "generate_sync.py",
        "hatch_build.py",
        "maskweave/v1/synthesis_pb2.py",
        "maskweave_bench/cli.py",
        "maskweave_client/_async/_client.py",
        "maskweave_client/_sync/_client.py",
        "examples/demo.py",
    } <= names


def test_the_wheel_works_by_itself(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        wheel.extractall(tmp_path)
    # Not the checkout's, which is installed here for development.
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import maskweave_client, maskweave.v1\n"
        "print(maskweave_client.__file__); maskweave_client.Client().close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "maskweave_client" / "__init__.py")


def newer_than_python_310(path: Path) -> str:
    """What vermin finds that Python 3.10 does not have; empty for nothing."""
    vermin = Path(sys.executable).with_name("vermin")
    done = subprocess.run(
        [vermin, "--target=3.10-", "--no-tips", "--eval-annotations", "--violations", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout


def test_the_package_runs_with_the_oldest_python_that_it_names(metadata: Message, tmp_path: Path) -> None:
    assert metadata["Requires-Python"] == ">=3.10"
    assert newer_than_python_310(CLIENT / "maskweave_client") == ""
    too_new = tmp_path / "too_new.py"
    too_new.write_text("import asyncio\nasync def f() -> None:\n    async with asyncio.timeout(1): ...\n")
    assert "asyncio.timeout" in newer_than_python_310(too_new)
