"""The example of the docs for one's own images: 30 classes at 256 px, put together as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLASSES = 30
SMALL_BLOCKS = 3
"""Of the example's six: 4, 8 and 16 cells, so that images have 32 rows."""


def page() -> str:
    """docs/training.md."""
    return (ROOT / "docs" / "training.md").read_text()


def example_text() -> str:
    """The configuration: a copy of faces64_styles, with the page's sections and a palette of 30 classes."""
    base = (ROOT / "training" / "packs" / "faces64_styles" / "config.toml").read_text()
    sections = _sections(base)
    for known in ("[data]\nimages", "[network]\nclasses = 30"):
        (block,) = (block for block in _blocks("toml") if known in block)
        sections |= _sections(block)
    sections["[pack]"] = sections["[pack]"].replace("faces64_styles", "rooms")
    sections["[[palette.classes]]"] = "".join(
        f'[[palette.classes]]\nid = {i}\nname = "class_{i}"\ntitle = "{i}"\ncolor = "#{i:06x}"\n\n'
        for i in range(CLASSES)
    )
    return "".join(sections.values())


def small_example_text() -> str:
    """The same with three blocks fewer, narrower, and of a few steps."""
    text = re.sub(r"(?m)^(steps|batch) = \d+", lambda found: f"{found[1]} = 4", example_text())
    blocks = re.findall(r"(?m)^    \{ width = .*\n", text)
    assert len(blocks) == 6
    for block in blocks[SMALL_BLOCKS:]:
        text = text.replace(block, "")
    return re.sub(r"= (480|240)\b", "= 60", text)


def example_commands() -> list[list[str]]:
    """What the page has a reader run, without the program's name."""
    (block,) = (block for block in _blocks("sh") if "evaluate rooms" in block)
    lines = [line.partition("#")[0].split() for line in block.splitlines() if line]
    return [arguments for _, *arguments in lines]


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```", page())


def _sections(text: str) -> dict[str, str]:
    """Tables by their headings; those of an array together."""
    found: dict[str, str] = {}
    for section in re.split(r"(?m)^(?=\[)", text):
        heading = section.partition("\n")[0]
        found[heading] = found.get(heading, "") + section.rstrip() + "\n\n"
    return found
