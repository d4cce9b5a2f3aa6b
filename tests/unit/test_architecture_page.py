"""docs/architecture.md walks through modules that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = re.findall(r"`((?:rpc|synthesis|scheduling|engine|codecs|core|app|access)/[\w/]*(?:\.py)?)`", PAGE)


def test_the_modules_of_the_walk_exist() -> None:
    assert len(MODULES) > 15
    missing = [each for each in MODULES if not (ROOT / "service" / each).exists()]
    assert not missing
