from pathlib import Path

import pytest

from service.core.diagnostics import Diagnostics
from service.engine.embedded.repository import Repository, read_repository
from tests.support.model_repository import ensemble_config, onnx_config, step_text


def _add(root: Path, name: str, versions: list[str], config: str, filename: str = "model.onnx") -> None:
    for version in versions:
        (root / name / version).mkdir(parents=True)
        (root / name / version / filename).touch()
    (root / name / "config.pbtxt").write_text(config)


def _read(root: Path) -> tuple[Repository, list[str]]:
    diagnostics = Diagnostics()
    repository = read_repository(root, diagnostics)
    return repository, [str(problem).replace(f"{root}/", "") for problem in diagnostics.problems]


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [11]),
        ("version_policy { latest { num_versions: 2 } }", [2, 11]),
        ("version_policy { latest { num_versions: 9 } }", [1, 2, 11]),
        ("version_policy { all { } }", [1, 2, 11]),
        ("version_policy { specific { versions: [ 2 ] } }", [2]),
    ],
)
def test_the_policy_chooses_versions_by_number(tmp_path: Path, policy: str, versions: list[int]) -> None:
    _add(tmp_path, "stage", ["1", "2", "11"], onnx_config(extra=policy))
    repository, problems = _read(tmp_path)
    assert problems == []
    entry = repository.entries["stage"]
    assert list(entry.versions) == versions
    assert entry.newest == versions[-1]
    assert entry.versions[versions[0]] == tmp_path / "stage" / str(versions[0]) / "model.onnx"


def test_the_model_file_may_have_another_name(tmp_path: Path) -> None:
    _add(tmp_path, "stage", ["1"], onnx_config(extra='default_model_filename: "net.onnx"'), "net.onnx")
    repository, problems = _read(tmp_path)
    assert problems == []
    assert repository.entries["stage"].versions[1].name == "net.onnx"


def test_an_ensemble_needs_a_version_but_no_file(tmp_path: Path) -> None:
    (tmp_path / "whole" / "1").mkdir(parents=True)
    step = step_text("stage", {"IN": "IN"}, {"OUT": "OUT"})
    (tmp_path / "whole" / "config.pbtxt").write_text(ensemble_config([step]))
    repository, problems = _read(tmp_path)
    assert problems == []
    assert list(repository.entries["whole"].versions) == [1]


def test_files_and_hidden_directories_are_no_models_and_other_directories_no_versions(tmp_path: Path) -> None:
    _add(tmp_path, "stage", ["1", "warmup"], onnx_config())
    (tmp_path / "README.md").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / "__pycache__").mkdir()
    repository, problems = _read(tmp_path)
    assert problems == []
    assert repository.names == {"stage"}


def test_no_repository_at_all(tmp_path: Path) -> None:
    _, problems = _read(tmp_path / "absent")
    assert problems[0].endswith(
        "cannot be read: No such file or directory; allowed: a directory with one directory per model"
    )


def test_an_empty_repository(tmp_path: Path) -> None:
    assert "holds no models" in _read(tmp_path)[1][0]


def test_a_model_without_config(tmp_path: Path) -> None:
    (tmp_path / "stage" / "1").mkdir(parents=True)
    repository, problems = _read(tmp_path)
    assert problems == [
        "stage/config.pbtxt: the file is missing; allowed: every model directory has a config.pbtxt"
    ]
    assert repository.names == {"stage"}
    assert not repository.entries


@pytest.mark.parametrize(
    ("versions", "policy", "problem"),
    [
        (
            [],
            "",
            "stage: has no version; "
            "allowed: a directory named 1, 2, ... for each version (an ensemble's is empty)",
        ),
        (["01"], "", "stage/01: is not a version; allowed: a positive integer without leading zeros"),
        (["0"], "", "stage/0: is not a version; allowed: a positive integer without leading zeros"),
        (
            ["1", "3"],
            "version_policy { specific { versions: [ 2, 3 ] } }",
            "stage/config.pbtxt: version_policy.specific.versions: there is no version 2; allowed: 1, 3",
        ),
        (
            ["1"],
            'default_model_filename: "net.onnx"',
            "stage/1/net.onnx: the file is missing; "
            "allowed: the model file, named by default_model_filename ('net.onnx')",
        ),
    ],
)
def test_refuses_versions_by_name(tmp_path: Path, versions: list[str], policy: str, problem: str) -> None:
    (tmp_path / "stage").mkdir()
    _add(tmp_path, "stage", versions, onnx_config(extra=policy))
    repository, problems = _read(tmp_path)
    assert problems == [problem]
    assert not repository.entries


def test_problems_of_all_models_come_together(tmp_path: Path) -> None:
    _add(tmp_path, "a", ["1"], "nonsense")
    _add(tmp_path, "b", ["01"], onnx_config())
    _add(tmp_path, "c", ["1"], onnx_config())
    repository, problems = _read(tmp_path)
    assert [problem.split("/")[0].split(":")[0] for problem in problems] == ["a", "b"]
    assert list(repository.entries) == ["c"]
