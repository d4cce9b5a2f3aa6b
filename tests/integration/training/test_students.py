"""Students of the shipped pack: a few steps of each, from its real teachers."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.tiny_pack import make_labels, tiny_data_config
from training.config.packs import pack_folder
from training.config.weights import load_weights
from training.runs.distributed import single_process
from training.runs.options import RunOptions
from training.sis_ug import stages
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import proxy_segmenter
from training.sis_ug.pipeline import STUDENTS, load_pipeline
from training.sis_ug.plan import plan_of
from training.sis_ug.students.low_rank import LowRankConv
from training.sis_ug.students.stage import train_students

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def config() -> PackConfig:
    values = tiny_data_config().model_dump()
    few = {"steps": 2, "batch": 4}
    for student in ("reader", "mapper", "rearranger"):
        values["students"][student] |= few | {"batches": 2}
    values["students"]["cycle"] |= few
    return PackConfig.model_validate(values)


@pytest.fixture(scope="module")
def taught(config: PackConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pack/` with teachers and students, and `runs/`."""
    root = tmp_path_factory.mktemp("students")
    shutil.copytree(pack_folder("faces64"), root / "pack")
    for name in STUDENTS:
        (root / "pack" / f"{name}.safetensors").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        make_labels(config)
        with pytest.raises(FileNotFoundError, match=r"lean_mapper\.safetensors is missing"):
            train_students(config, root / "pack", options(root), only=("cycle",))
        train_students(config, root / "pack", options(root))
    return root


def options(root: Path) -> RunOptions:
    return RunOptions(root / "runs", show_progress=False, log_every=1)


def test_every_student_takes_its_teachers_place(config: PackConfig, taught: Path) -> None:
    served = load_pipeline(config, taught / "pack")
    assert served.proxy_reader is not None
    for network in (served.mapper, served.rearranger):
        assert any(isinstance(module, LowRankConv) for module in network.modules())
    labels, latents = torch.zeros(2, 64, 64, dtype=torch.uint8), torch.randn(2, 100)
    images = served(labels, latents, torch.full((2, 1), 0.5))
    assert images.shape == (2, 3, 64, 64)
    teachers = load_pipeline(config, taught / "pack", students=False)
    assert teachers.proxy_reader is None
    assert not any(isinstance(module, LowRankConv) for module in teachers.modules())
    assert not torch.equal(images, teachers(labels, latents, torch.full((2, 1), 0.5)))


def test_each_student_by_itself_is_served(config: PackConfig, taught: Path, tmp_path: Path) -> None:
    shutil.copytree(taught / "pack", tmp_path / "pack")
    for name in STUDENTS[1:]:
        (tmp_path / "pack" / f"{name}.safetensors").unlink()
    served = load_pipeline(config, tmp_path / "pack")
    assert served.proxy_reader is not None
    assert not any(isinstance(module, LowRankConv) for module in served.modules())


def test_what_is_done_is_not_done_again(
    config: PackConfig, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(taught)
    files = [taught / "pack" / f"{name}.safetensors" for name in STUDENTS]
    before = [file.read_bytes() for file in files]
    train_students(config, taught / "pack", options(taught))
    assert [file.read_bytes() for file in files] == before


def test_plan_is_what_was_done(config: PackConfig, taught: Path) -> None:
    plan = plan_of(config, "students")
    assert {f"{name}.safetensors" for name in plan.writes} == {f"{name}.safetensors" for name in STUDENTS}
    for run in plan.runs:
        assert (taught / "runs" / run / "checkpoint.pt").exists()
    assert plan_of(config, "students", only=("reader",)).writes == ("proxy_reader",)
    assert {"lean_mapper", "lean_rearranger"} <= set(plan_of(config, "students", only=("cycle",)).weights)


def test_students_of_a_teacher_that_changed_are_removed(
    config: PackConfig, taught: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(taught / "pack", folder)
    teacher = load_weights(proxy_segmenter(config), folder, "proxy_segmenter")
    stages._store(teacher, folder, "proxy_segmenter", single_process())
    assert all((folder / f"{name}.safetensors").exists() for name in STUDENTS)
    with torch.no_grad():
        teacher.classify.weight.mul_(1.5)
    stages._store(teacher, folder, "proxy_segmenter", single_process())
    assert not any((folder / f"{name}.safetensors").exists() for name in STUDENTS)
