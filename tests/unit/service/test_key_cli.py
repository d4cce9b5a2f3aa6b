"""`maskweave key`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from service.access.keys import Scope, parse_keys
from service.key_cli import key


def run(*arguments: str) -> str:
    result = CliRunner().invoke(key, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_prints_the_key_once_and_the_entry_that_finds_it() -> None:
    output = run("--id", "studio", "--scope", "synthesize", "--scope", "edit", "--requests-per-second", "5")
    secret, _, entry = output.partition("\n\n")
    assert output.count(secret) == 1
    found = parse_keys(entry).find(secret)
    assert found is not None
    assert found.id == "studio"
    assert found.scopes == {Scope.SYNTHESIZE, Scope.EDIT}
    assert (found.requests_per_second, found.max_concurrent) == (5, None)


def test_adds_the_entry_to_a_file_and_prints_the_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    first = run("--id", "a", "--scope", "edit", "--file", str(file)).strip()
    file.write_text("# ours\n" + file.read_text())
    file.chmod(0o640)
    second = run("--id", "b", "--scope", "edit", "--burst", "3", "--file", str(file)).strip()
    keys = parse_keys(file.read_text())
    assert [entry.id for entry in keys] == ["a", "b"]
    assert all(keys.find(secret) for secret in (first, second))
    assert file.read_text().startswith("# ours\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_a_second_key_of_the_same_id_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    run("--id", "a", "--scope", "edit", "--file", str(file))
    before = file.read_text()
    result = CliRunner().invoke(key, ["--id", "a", "--scope", "edit", "--file", str(file)])
    assert result.exit_code == 1
    assert "key a: 2 entries have this id" in result.output
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scope", "edit"], "Missing option '--id'"),
        (["--id", "a"], "Missing option '--scope'"),
        (["--id", "a", "--scope", "paint"], "'paint' is not one of"),
        (["--id", "a b", "--scope", "edit"], "id: "),
        (["--id", "a", "--scope", "edit", "--requests-per-second", "0"], "greater than 0"),
    ],
)
def test_bad_options_are_usage_errors(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(key, arguments)
    assert result.exit_code == 2
    assert told in result.output
