from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.config.packs import pack_folder
from training.generators.dcgan import load_generator
from training.sis_ug.config import PackConfig, load_config, read_config
from training.sis_ug.networks.build import rearranger

LEVEL = {"resolution": 8, "heads": 4, "head_dim": 8}


def test_faces64_has_the_eight_classes_of_the_labeller() -> None:
    names = ("background", "hair", "skin", "brows", "eyes", "nose", "mouth", "neck")
    assert load_config("faces64").palette.names == names


def test_unknown_pack_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'nobody' is unknown; available: .*faces64"):
        load_config("nobody")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ("[latent]\nscael = 1", "latent.scael: Extra inputs are not permitted"),
        ("[latent", "Expected ']' at the end of a table declaration"),
    ],
)
def test_wrong_file_is_told_in_one_line_with_its_name(tmp_path: Path, changed: str, complaint: str) -> None:
    right = (pack_folder("faces64") / "config.toml").read_text()
    wrong = tmp_path / "config.toml"
    wrong.write_text(right.replace("[latent]", changed))
    with pytest.raises(ValueError, match=complaint) as raised:
        read_config(wrong)
    assert str(raised.value).startswith(f"{wrong}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "changes", "complaint"),
    [
        ("data", {"heldout_first_seed": 1_000_100}, "heldout seeds 1000100 to 1000739 must not meet"),
        ("rearranger", {"cut": 48}, "cut: must be 16 or that doubled some times, found 48"),
        ("rearranger", {"cut": 16}, r"hidden: needs the resolutions \[8, 16\], found \[8, 16, 32\]"),
        ("rearranger", {"hidden": {8: 1, 16: 1}}, r"hidden: needs the resolutions \[8, 16, 32\]"),
        ("rearranger", {"levels": [LEVEL, LEVEL]}, r"must be twice the one before, found \[8, 8\]"),
        ("rearranger", {"batch": 1}, "batch: 1 is too small; allowed is 2 or more"),
        ("rearranger", {"self_fraction": 1.0}, "self_fraction"),
        ("proxies", {"resolution": 16}, "rearranger.cut: 32 is finer than proxies.resolution, 16"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    section: str, changes: dict[str, Any], complaint: str
) -> None:
    settings = load_config("faces64").model_dump()
    settings[section] |= changes
    with pytest.raises(ValidationError, match=complaint):
        PackConfig.model_validate(settings)


SECTION = {"resolution": 256, "truncation": 0.7, "noise": "const"}


@pytest.mark.parametrize(
    ("generator", "section", "complaint"),
    [
        ("stylegan2", None, "belongs to pack.generator = 'stylegan2', which needs it; .* without it"),
        ("dcgan", SECTION, "found 'dcgan' with it"),
        (
            "stylegan2",
            SECTION | {"resolution": 32},
            "must be stylegan2.resolution, 32, divided by one of 2, 4",
        ),
        ("stylegan2", SECTION | {"truncation": 1.5}, "truncation"),
        ("stylegan2", SECTION | {"noise": "random"}, "noise"),
    ],
)
def test_section_of_an_imported_generator_must_fit(
    generator: str, section: dict[str, Any] | None, complaint: str
) -> None:
    settings = load_config("faces64").model_dump()
    settings["pack"]["generator"] = generator
    with pytest.raises(ValidationError, match=complaint):
        PackConfig.model_validate(settings | {"stylegan2": section})


def test_fold_follows_from_the_images_and_the_proxy_masks() -> None:
    assert load_config("faces64").fold == 2
    settings = load_config("faces64").model_dump()
    settings["pack"]["generator"] = "stylegan2"
    settings["inversion"] = None
    assert PackConfig.model_validate(settings | {"stylegan2": SECTION}).fold == 8


@pytest.mark.parametrize(
    ("level", "complaint"),
    [
        (LEVEL | {"heads": 7}, "7 heads at 8x8, where the generator has 256 channels; they must divide"),
        (LEVEL | {"resolution": 4}, "4 heads at 4x4, where the generator has 0 channels"),
    ],
)
def test_levels_must_fit_the_generators_features(level: dict[str, int], complaint: str) -> None:
    settings = load_config("faces64").model_dump()
    settings["rearranger"] |= {"levels": [level], "hidden": {8: 8, 16: 8, 32: 8} | {level["resolution"]: 8}}
    settings["rearranger"]["weights"]["features"] = {}
    settings["inversion"] = None
    config = PackConfig.model_validate(settings)
    with pytest.raises(ValueError, match=complaint):
        rearranger(config, load_generator())


def test_weights_of_features_belong_to_rearranged_resolutions() -> None:
    settings = load_config("faces64").model_dump()
    settings["rearranger"]["weights"]["features"] = {4: 1.0, 32: 1.0}
    with pytest.raises(ValidationError, match=r"can have the resolutions \[8, 16, 32\], found \[4, 32\]"):
        PackConfig.model_validate(settings)
