"""Every pack that is shipped has a card and a licence, and the card says what is served."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

ROOT = Path(__file__).parents[2]


def shipped_packs() -> dict[str, list[ModelConfig]]:
    """The ensembles that name a pack, by its name."""
    packs = defaultdict(list)
    for file in sorted((ROOT / "model_repository").glob("*/config.pbtxt")):
        config = text_format.Parse(file.read_text(), ModelConfig())
        if "maskweave.pack" in config.parameters:
            packs[parameter(config, "pack")].append(config)
    return packs


def parameter(config: ModelConfig, name: str) -> str:
    return str(config.parameters[f"maskweave.{name}"].string_value)


PACKS = shipped_packs()


@pytest.mark.parametrize("pack", PACKS)
def test_the_card_says_what_is_served(pack: str) -> None:
    card = (ROOT / "training" / "packs" / pack / "README.md").read_text()
    assert card.startswith(f"# Model card: {pack}\n")
    (version,) = re.findall(r"^\| version \| (\S+) \|$", card, re.MULTILINE)
    described = " ".join(card.split())
    for config in PACKS[pack]:
        assert parameter(config, "model_version") == version, config.name
        assert parameter(config, "condition").replace("_", " ") in described.lower()
        height, width, _ = config.output[0].dims
        assert f"{height} x {width}" in described
        if config.parameters["maskweave.palette"].string_value:
            assert f"{len(json.loads(parameter(config, 'palette')))} classes" in described
    for section in ("Data", "Licence", "Use and limits"):
        assert f"\n## {section}\n" in card


@pytest.mark.parametrize("pack", PACKS)
def test_cards_are_listed_and_licences_told(pack: str) -> None:
    card = f"training/packs/{pack}/README.md"
    assert f"(../{card})" in (ROOT / "docs" / "models.md").read_text()
    assert f"`{pack}`" in (ROOT / "NOTICE.md").read_text()


def test_there_are_packs() -> None:
    assert PACKS


def test_the_notice_names_the_generator_as_it_is_pinned() -> None:
    notice = (ROOT / "NOTICE.md").read_text()
    pinned = (ROOT / "requirements" / "dev-nodeps.txt").read_text()
    (version,) = re.findall(r"^gan[-_]face[-_]generate==([\d.]+)", pinned, re.MULTILINE)
    assert f"`gan-face-generate` {version}" in notice
    (version,) = re.findall(
        r"^mediapipe==([\d.]+)", (ROOT / "requirements" / "labels-nodeps.txt").read_text(), re.MULTILINE
    )
    assert f"mediapipe {version}" in notice
