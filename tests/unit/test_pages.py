"""What the pages name exists: commands and their options, make targets, modules, decisions by their numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"docs/commands.md", "docs/reference/typescript.md"}
HISTORY = {"CHANGELOG.md", "client/CHANGELOG.md", "client/typescript/CHANGELOG.md"}
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        "*/README*.md",
        "client/**/*.md",
        "docs/**/*.md",
        "helm/*/*.md",
        "training/packs/*/*.md",
    )
    for page in {
        str(file.relative_to(ROOT)) for file in ROOT.glob(pattern) if "node_modules" not in file.parts
    }
    if page not in GENERATED | HISTORY
)
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

_PROGRAM = re.compile(
    r"(?:^|[\s;&(])(?:[\w./-]+/)?(maskweave(?:-bench|-client)?) ((?:[a-z]+[a-z0-9-]*\s*)+)(.*)"
)


def _options() -> dict[str, set[str]]:
    """The options of every command, as docs/commands.md has them."""
    found = {
        title: set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", body))
        for title, body in re.findall(
            r"(?ms)^#{2,3} (maskweave [a-z0-9 -]+)$\n(.*?)(?=^#{2,3} maskweave|\Z)", COMMANDS
        )
    }
    for name in re.findall(r"^\| `(\w+)` \|", SETTINGS, re.MULTILINE):
        flag = name.replace("_", "-")
        found["maskweave serve"] |= {f"--{flag}", f"--no-{flag}"}
    return found


OPTIONS = _options()


def _code(page: str) -> list[str]:
    """Lines that are code: of fences, continued ones joined, and between backticks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = "\n".join(re.findall(r"(?ms)^ *```(?:sh|text)?\n(.*?)^ *```", text)).replace("\\\n", " ")
    prose = re.sub(r"(?ms)^ *```.*?^ *```", "", text)
    return [line.partition(" #")[0] for line in fences.splitlines()] + re.findall(r"`([^`\n]+)`", prose)


def _wrong_options(line: str) -> list[str]:
    wrong = []
    for part in re.split(r"[|;]|&&", line):
        match = _PROGRAM.search(part)
        if match is None:
            continue
        program, words = match[1], match[2].split()
        verb = "maskweave bench" if program == "maskweave-bench" else "maskweave"
        title = max(
            (name for name in OPTIONS if f"{verb} {' '.join(words)} ".startswith(f"{name} ")),
            key=len,
            default="",
        )
        if not title:
            wrong.append(f"{program} {words[0]}")
            continue
        named = re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", f" {part[match.start(2) :]}")
        wrong += [f"{title} {option}" for option in named if option not in OPTIONS[title] | {"--help"}]
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_that_are_named_exist(page: str) -> None:
    assert not [each for line in _code(page) for each in _wrong_options(line)]


def test_a_wrong_command_or_option_is_found() -> None:
    assert _wrong_options("maskweave serve --grpc-prot 1") == ["maskweave serve --grpc-prot"]
    assert _wrong_options(".venv/dev/bin/maskweave train mapper --cylce all") == ["maskweave train --cylce"]
    assert _wrong_options("maskweave fly away") == ["maskweave fly"]
    assert not _wrong_options("maskweave-bench run --target a=b:1 && maskweave serve --no-reflection")


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_and_modules_that_are_named_exist(page: str) -> None:
    lines = _code(page)
    targets = {name for line in lines for name in re.findall(r"^make ([a-z][\w-]*)", line)}
    missing = [name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)]
    modules = {name for line in lines for name in re.findall(r"python3? -m ([\w.]+)", line)}
    ours = {name for name in modules if (ROOT / name.partition(".")[0]).is_dir()}
    missing += [name for name in ours if not _is_module(name)]
    assert not missing


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_decisions_have_the_number_of_their_file_and_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("0*.md"))
    assert len(files) > 20
    for number, file in enumerate(files, 1):
        title = file.read_text(encoding="utf-8").partition("\n")[0]
        assert title.startswith(f"# {number}. "), file.name
        assert f"{number}. [{title.partition('. ')[2]}]({file.name})" in index
