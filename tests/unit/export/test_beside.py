"""What is put beside another repository: all of it under new names, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.beside import put_beside
from export.config_file import read_config_file
from tests.support.small_pack import VERSION, pack_parameters

STAGE = 'backend: "onnxruntime"\nmax_batch_size: 1\n'
ENSEMBLE = (
    'platform: "ensemble"\nensemble_scheduling { step { model_name: "tiny_head" model_version: -1 } }\n'
    + pack_parameters("tiny", strength=None, style_prior="tiny_prior")
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name, config in (("tiny_head", STAGE), ("tiny_prior", STAGE), ("tiny_label_map", ENSEMBLE)):
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "model.onnx").write_text(name)
        (root / name / "config.pbtxt").write_text(config)
    return root


def test_models_their_steps_and_what_they_name_get_the_version(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    names = put_beside(source, target)
    suffix = "_v1_2_3"
    assert names == {name: name + suffix for name in ("tiny_head", "tiny_label_map", "tiny_prior")}
    assert (target / f"tiny_head{suffix}" / "1" / "model.onnx").read_text() == "tiny_head"
    config = read_config_file(target / f"tiny_label_map{suffix}" / "config.pbtxt")
    assert config.name == f"tiny_label_map{suffix}"
    assert [step.model_name for step in config.ensemble_scheduling.step] == [f"tiny_head{suffix}"]
    assert config.parameters["maskweave.style_prior"].string_value == f"tiny_prior{suffix}"
    assert config.parameters["maskweave.pack"].string_value == "tiny"
    assert (source / "tiny_head").is_dir()


def test_nothing_is_written_over(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    put_beside(source, target)
    with pytest.raises(
        ValueError, match="tiny_head_v1_2_3, tiny_label_map_v1_2_3, tiny_prior_v1_2_3 already"
    ):
        put_beside(source, target)


def test_what_cannot_be_named_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    stranger = source / "stranger"
    stranger.mkdir()
    (stranger / "config.pbtxt").write_text(STAGE)
    with pytest.raises(ValueError, match="stranger: of no pack"):
        put_beside(source, target)
    (stranger / "config.pbtxt").unlink()
    config = source / "tiny_label_map" / "config.pbtxt"
    config.write_text(ENSEMBLE.replace(VERSION, ""))
    with pytest.raises(ValueError, match=r'model_version"\]: missing'):
        put_beside(source, target)
    with pytest.raises(FileNotFoundError, match="a model repository"):
        put_beside(tmp_path / "nowhere", target)
    assert not target.exists()
