"""What the documentation shows works as it is written, and what it points at is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import maskweave_cli
from maskweave_client import Client
from tests.support.certificates import Authority
from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys
from tests.support.pages import ADDRESS, ROOT, Block, blocks, checkout, run_python, run_shell

TUTORIALS = (
    "docs/tutorial/first-image.md",
    "docs/tutorial/first-stroke.md",
    "docs/tutorial/first-edit.md",
    "docs/howto/latency.md",
)
"""Pages that need nothing but a gateway on the shipped models."""

TRAINING = ("docs/howto/own-images.md", "docs/howto/few-labels.md", "docs/howto/gpu.md")
"""Pages of commands that take hours: that they exist, with these options, is looked at."""

PAGES = ("README.md", "client/README.md", "docs/access.md", "docs/howto/proxy.md", *TUTORIALS)
"""Pages whose blocks are run, each page from top to bottom."""

NOT_RUN = {
    (
        "README.md",
        "make demo ",
    ): "installs environments and runs every test, this one too; its steps have tests",
    ("README.md", "label map ──►"): "is a drawing",
    ("README.md", "maskweave data faces64 "): "takes hours: that its commands exist is looked at below",
}
"""Why a block is not run, by page and beginning."""

NOT_RUN_COMMANDS = [
    command.partition("#")[0].strip().removeprefix(".venv/dev/bin/")
    for page in ("README.md", *TRAINING)
    for block in blocks(page)
    if page != "README.md" or block.text.startswith("maskweave data faces64 ")
    for command in block.text.splitlines()
]

LANGUAGES = {"nginx", "python", "sh", "toml"}
SKIPPED = {".venv", "build", "data", "dist", "node_modules", "runs"}
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED.intersection(path.relative_to(ROOT).parts)
)
EXAMPLES = sorted(
    path.stem for path in (ROOT / "client" / "examples").glob("*.py") if "__main__" in path.read_text()
)


def is_run(block: Block) -> bool:
    return not any(block.page == page and block.text.startswith(begin) for page, begin in NOT_RUN)


def blocks_to_run(page: str) -> list[Block]:
    return [block for block in blocks(page) if is_run(block)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page is followed: it looks like a checkout, and is the working directory."""
    checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """The names that a page's Python blocks leave; clients are closed at the end."""
    found: dict[str, Any] = {"__name__": "__main__"}
    yield found
    for value in found.values():
        if isinstance(value, Client):
            value.close()


@pytest.fixture
def secured(repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayProcess]:
    """A gateway with TLS and keys; its authority's certificate and a key are where pages look for them."""
    authority = Authority(folder / "authority", "authority")
    pair = authority.issue("server")
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    key, entry = new_key("reader")
    monkeypatch.setenv("MASKWEAVE_KEY", key)
    keys = write_keys(folder / "keys.toml", entry)
    with gateway_process(
        repository, tls_certificate=pair.certificate, tls_key=pair.key, api_keys_file=keys
    ) as gateway:
        yield gateway


def follow(
    page: str, folder: Path, names: dict[str, Any], address_for: Callable[[Block], str]
) -> dict[Block, str]:
    """Run a page, and give what its shell blocks printed."""
    printed = {}
    for block in blocks_to_run(page):
        if block.language == "python":
            run_python(block, names, address_for(block))
        else:
            done = run_shell(block, folder, address_for(block))
            assert done.returncode == 0, f"{block}: {done.stdout}"
            printed[block] = done.stdout
    return printed


def test_the_readme_runs_from_top_to_bottom(
    shipped: GatewayProcess, folder: Path, names: dict[str, Any]
) -> None:
    printed = follow("README.md", folder, names, lambda _: shipped.address)
    with Image.open(folder / "face.png") as face:
        assert face.size == (64, 64)
    (grpcurl,) = printed.values()
    (image,) = json.loads(grpcurl)["images"]
    assert (image["width"], image["seed"]) == (64, 7)
    assert len(names["frames"]) == 30
    kept = names["smiling"] == names["earnest"]
    after, before = names["after"].to_numpy(), np.asarray(names["face"])
    assert 0.5 < (after == before).all(2)[kept].mean() < 1  # all but the soft edge


def test_a_face_takes_five_lines() -> None:
    block = next(block for block in blocks("README.md") if "face.png" in block.text)
    assert len([line for line in block.text.splitlines() if line]) == 5


def test_the_clients_readme_runs_from_top_to_bottom(
    shipped: GatewayProcess, secured: GatewayProcess, folder: Path, names: dict[str, Any]
) -> None:
    follow(
        "client/README.md",
        folder,
        names,
        lambda block: secured.address if "credentials=" in block.text else shipped.address,
    )
    assert {path.name for path in folder.iterdir()} >= {
        "face.png",
        "label_map.png",
        "29.png",
        "hair.code",
        "morph.gif",
    }
    assert names["kept"] == names["codes"][names["hair"]]
    assert [frame.sequence for frame in names["frames"]][-1] == 1


@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorials_run_from_top_to_bottom(
    shipped: GatewayProcess, folder: Path, names: dict[str, Any], page: str
) -> None:
    printed = "".join(follow(page, folder, names, lambda _: shipped.address).values())
    images = {file.name: np.asarray(Image.open(file)) for file in folder.glob("*.png")}
    if page.endswith("first-image.md"):
        assert "faces64_styles" in printed
        assert set(images) == {"face.png", "face_7.png", "face_8.png", "face_9.png", "face_10.png"}
        assert np.array_equal(images["face.png"], images["face_7.png"])
    elif page.endswith("first-stroke.md"):
        changed = (images["before.png"] != images["after.png"]).any(axis=2)
        assert changed[:, :20].mean() > changed[:, 44:].mean(), "the stroke is on the left"
    elif page.endswith("first-edit.md"):
        assert 0 < names["changed"].mean() < 0.5
        assert not names["changed"][:10].any(), "nothing above the eyes"


def test_the_page_on_access_runs_from_top_to_bottom(folder: Path) -> None:
    shell = [block for block in blocks_to_run("docs/access.md") if block.language == "sh"]
    assert len(shell) == 4
    printed = []
    for block in shell:
        done = run_shell(block, folder, ADDRESS)
        assert done.returncode == 0, f"{block}: {done.stdout}"
        printed.append(done.stdout)
    assert "-cacert ca.crt" in printed[2]
    (key,) = re.findall(r"mwk_\S+", printed[3])
    (entry,) = tomllib.loads((folder / "keys.toml").read_text())["keys"]
    assert entry["id"] == "studio"
    assert key not in (folder / "keys.toml").read_text()

    settings, keys = (block for block in blocks_to_run("docs/access.md") if block.language == "toml")
    assert tomllib.loads(keys.text)["keys"][0].keys() == entry.keys()
    (folder / "shown.toml").write_text(keys.text)
    assert serve_check(folder, "--api-keys-file", "shown.toml").returncode == 0
    (folder / "maskweave.toml").write_text(settings.text)
    checked = serve_check(folder, "--config", "maskweave.toml")
    assert checked.returncode == 1, checked.stderr  # /etc/maskweave is not there, but all are settings
    assert "/etc/maskweave/tls/tls.crt" in checked.stderr


def serve_check(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return run_program("-m", "maskweave_cli", "serve", "--check", *flags, folder=folder)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_run(page: str) -> None:
    found = blocks(page)
    assert found
    assert len(found) == (ROOT / page).read_text().count("\n```") / 2, "a block is not seen"
    for block in found:
        assert not is_run(block) or block.language in LANGUAGES, block


def test_every_block_of_tutorials_and_guides_is_run_or_looked_at() -> None:
    for file in [*(ROOT / "docs").glob("tutorial/*.md"), *(ROOT / "docs").glob("howto/*.md")]:
        page = str(file.relative_to(ROOT))
        if "```" in file.read_text():
            assert page in (*PAGES, *TRAINING)
            assert len(blocks(page)) == file.read_text().count("```") / 2, f"{page}: a block is not seen"
            assert page not in TRAINING or {block.language for block in blocks(page)} == {"sh"}


def test_every_block_that_is_not_run_is_there_and_has_a_reason() -> None:
    for (page, begin), reason in NOT_RUN.items():
        (block,) = (block for block in blocks(page) if block.text.startswith(begin))
        assert reason
        assert block.language != "python"


@pytest.mark.parametrize("command", NOT_RUN_COMMANDS)
def test_commands_that_are_not_run_exist(command: str) -> None:
    name, *arguments = shlex.split(command)
    if name == "make":
        assert set(arguments) <= targets()
        return
    assert name == "maskweave"
    done = CliRunner().invoke(maskweave_cli.main, [*arguments, "--help"])
    assert done.exit_code == 0, done.output


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_make_knows_the_targets_that_pages_name() -> None:
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
        assert named <= targets(), page


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_of_an_example_runs_as_it_is_written(
    shipped: GatewayProcess, folder: Path, name: str
) -> None:
    text = (ROOT / "client" / "examples" / f"{name}.py").read_text()
    (command,) = re.findall(r"^    (python .*)$", text, re.MULTILINE)
    _, *arguments = shlex.split(command.replace(ADDRESS, shipped.address))
    done = run_program(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    with Image.open(folder / command.rpartition(" ")[2]) as sheet:
        assert np.asarray(sheet.convert("RGB")).std() > 0
    assert str(folder) in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [
        target for target in targets if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


def test_every_directory_is_on_the_map() -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "-d", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    visible = {name for name in listed if not name.startswith(".")}
    assert visible - set(re.findall(r"\]\(([a-z_]+)/", (ROOT / "README.md").read_text())) <= {"requirements"}
