"""Packs of the product, and a user's own below the working directory."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from training.config.pack_argument import PackName
from training.config.packs import PACKS, available_packs, pack_folder
from training.sis_ug.config import load_config


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two packs: one of a new name, one of the product's name."""
    text = (PACKS / "faces64" / "config.toml").read_text()
    for name in ("mine", "faces64"):
        folder = tmp_path / "packs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(text.replace("steps = 1800", "steps = 7"))
    (tmp_path / "packs" / "no_pack").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_packs_stand_among_the_products() -> None:
    assert {"mine", "faces64", "faces64_styles"} <= set(available_packs())
    assert "no_pack" not in available_packs()
    assert pack_folder("mine") == Path("packs/mine")
    assert pack_folder("faces64_styles") == PACKS / "faces64_styles"


def test_an_own_pack_comes_before_the_products_of_that_name() -> None:
    assert pack_folder("faces64") == Path("packs/faces64")
    assert load_config("faces64").mapper.supervised.steps == 7


def test_a_command_knows_packs_that_came_after_it_was_defined(own: Path) -> None:
    @click.command()
    @click.argument("pack", type=PackName())
    def command(pack: str) -> None:
        click.echo(pack)

    late = own / "packs" / "late"
    refused = CliRunner().invoke(command, ["late"])
    assert refused.exit_code == 2
    assert "'late' is none of " in refused.output
    assert ", faces64, faces64_styles, " in refused.output
    late.mkdir()
    (late / "config.toml").touch()
    assert CliRunner().invoke(command, ["late"]).output == "late\n"
    names = [
        item.value for item in PackName().shell_complete(click.Context(command), command.params[0], "la")
    ]
    assert names == ["late"]
