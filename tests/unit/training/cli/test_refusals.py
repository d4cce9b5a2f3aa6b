"""What is wrong with a pack, its files or its machine is one line that names it, before any training."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import maskweave_cli
import training.cli.train
from tests.support.shapes import config_text, write_shapes
from training.config.packs import pack_method
from training.runs.cost_account import cost_of

TEXT = config_text(Path("images"), Path("maps"))
BLOCK = "{ width = 12, groups = 3, hidden = 6 },"
WRONG = {
    "nothing": (b"", "packs/mine/config.toml"),
    "no text": (b"\xff\xfe\x00a", "packs/mine/config.toml: 'utf-8' codec can't decode"),
    "no table": (b'pack = "x"', "packs/mine/config.toml"),
    "no TOML": (b"x = [", "packs/mine/config.toml"),
    "nested": (b"x = " + b"[" * 5000, "packs/mine/config.toml"),
}
CHANGES = {
    "number of classes": ("classes = 3\n", "classes = 1000000000\n", "network.classes"),
    "number of styles": ("s = [0, 1, 2]\nclass", "s = [0, 1, 999999999999]\nclass", "styles must count up"),
    "style below 0": ("s = [0, 1, 2]\nclass", "s = [0, 1, -1]\nclass", "styles must count up from 0"),
    "code": ("code = 4\n", "code = 1000000000000\n", "network.code: Input should be less"),
    "fold": ("fold = 2", "fold = 1000000", "allowed are up to 8192"),
    "blocks": (BLOCK, 40 * BLOCK, "allowed are up to 8192"),
    "encoder": ("side = 8\n", "side = 8000000\n", "allowed are up to 8192"),
    "batch": ("batch = 4", "batch = 1000000000000", "training.batch: Input should be less"),
    "rate": ("discriminator_learning_rate = 1e-3", "discriminator_learning_rate = inf", "finite number"),
    "share": ("heldout = 0.3", "heldout = nan", "config.toml: data.heldout: "),
}


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a pack of one's own, with its folders."""
    monkeypatch.chdir(tmp_path)
    write_shapes(tmp_path / "images", tmp_path / "maps", 4)
    path = tmp_path / "packs" / "mine" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def refused(*options: str) -> str:
    """The line in which the training is refused."""
    result = CliRunner().invoke(maskweave_cli.main, ["train", "styles", "--pack", "mine", *options])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.exception
    (line,) = result.output.splitlines()
    return line


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_configuration_is_named(name: str, pack: Path) -> None:
    content, complaint = WRONG[name]
    pack.write_bytes(content)
    for options in ([], ["--dry-run"]):
        assert complaint in refused(*options)


@pytest.mark.parametrize("name", CHANGES)
def test_numbers_that_no_machine_has_room_for_are_refused_by_name(name: str, pack: Path) -> None:
    old, new, complaint = CHANGES[name]
    assert old in TEXT
    pack.write_text(TEXT.replace(old, new, 1))
    assert complaint in refused("--dry-run")


def test_a_dry_run_needs_no_images_and_says_so(pack: Path) -> None:
    pack.write_text(TEXT.replace('images = "images"', 'images = "nope"'))
    result = CliRunner().invoke(maskweave_cli.main, ["train", "styles", "--pack", "mine", "--dry-run"])
    assert result.exit_code == 0
    assert "none yet: nope: no such folder" in result.output


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("memory", ["inf", "nan", "1e300", "0"])
def test_memory_that_no_device_has_is_refused(memory: str) -> None:
    command = ["train", "styles", "--pack", "mine", "--dry-run", "--memory", memory]
    result = CliRunner().invoke(maskweave_cli.main, command)
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "'--memory'" in result.output


def test_a_byte_order_mark_is_no_matter(pack: Path) -> None:
    pack.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert pack_method("mine") == "groupdnet"


def test_any_number_of_parts_is_refused_at_once(pack: Path) -> None:
    assert "4 cannot be divided into 1000000000000 equal parts" in refused("--accumulate", "1000000000000")
    assert "it can be 1" in refused("--devices", "1000", "--dry-run")


def test_sizes_that_no_tensor_has_are_told() -> None:
    with pytest.raises(ValueError, match="there can be no tensors of the configured sizes"):
        cost_of(lambda: torch.zeros(1 << 40, 1 << 40))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], pack: Path) -> None:
    pack.unlink()
    make(pack)
    assert "packs/mine/config.toml: is no file" in refused("--dry-run")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_an_image_that_is_no_file_is_named(make: Callable[[Path], None], pack: Path) -> None:
    make(pack.parents[2] / "images" / "pipe.png")
    (pack.parents[2] / "maps" / "pipe.png").touch()
    assert "images/pipe.png: got no file; allowed" in refused()


def test_a_folder_of_runs_that_cannot_be_made_is_one_line(pack: Path) -> None:
    (pack.parents[2] / "runs").touch()
    assert "Not a directory: 'runs/mine" in refused("--device", "cpu")


def test_memory_that_is_too_small_is_one_line_with_a_remedy(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(training.cli.train, "train_styles", run_out)
    line = refused("--device", "cpu")
    assert "the device's memory is too small for this batch" in line
    assert "--accumulate" in line


def test_whole_pack_without_its_images_is_refused_before_any_training(pack: Path) -> None:
    for file in (pack.parents[2] / "images").iterdir():
        file.unlink()
    result = CliRunner().invoke(maskweave_cli.main, ["train", "all", "--pack", "mine"])
    assert result.exit_code == 1
    assert result.output == "Error: images: no file that ends in .png or .jpg or .jpeg\n"
    assert not Path("runs").exists()


def test_options_of_single_stages_are_not_for_all(pack: Path) -> None:
    for option, stage in (("--no-cycle", "mapper"), ("--fit-only", "styles")):
        result = CliRunner().invoke(maskweave_cli.main, ["train", "all", "--pack", pack.parent.name, option])
        assert result.exit_code == 2
        assert f"is for the stage {stage}" in result.output


def test_whole_pack_whose_batches_cannot_be_divided_is_refused_before_any_training(pack: Path) -> None:
    for further in ((), ("--dry-run",)):
        arguments = ["train", "all", "--pack", pack.parent.name, "--accumulate", "3", *further]
        result = CliRunner().invoke(maskweave_cli.main, arguments)
        assert result.exit_code == 1
        assert "cannot be divided into 3 equal parts" in result.output
    assert not Path("runs").exists()
