"""Packs that nobody trained, for measuring what sizes cost."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

import maskweave_cli
from export.commands.untrained import SIZES, network_of


@given(st.sampled_from([64, 128, 256, 512]), st.integers(2, 254))
def test_every_size_has_a_network(pixels: int, classes: int) -> None:
    section = network_of(pixels, classes)
    assert section.image_size == (pixels, pixels)
    assert section.classes == section.styles == classes
    assert section.blocks[0].groups == classes
    assert section.blocks[-1].groups == 1


def test_those_of_the_page_differ_in_one_thing_each() -> None:
    base = SIZES[0]
    assert all((pixels == base[0]) + (classes == base[1]) >= 1 for pixels, classes in SIZES)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_writes_a_repository(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        maskweave_cli.main, ["export", "untrained", str(tmp_path / "models"), "--size", "64", "9"]
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "models" / "untrained_64px_9classes_label_map" / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert {each.name: list(each.dims) for each in config.output} == {"IMAGE": [64, 64, 3]}
    labels = tmp_path / "models" / "untrained_64px_9classes_label_map" / "labels.txt"
    assert len(labels.read_text().splitlines()) == 9
