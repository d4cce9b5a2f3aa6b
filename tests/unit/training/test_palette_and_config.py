from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.config import PackConfig, load_config, pack_folder, read_config, shared_out
from training.generators.dcgan import load_generator
from training.loops.rearranger import mask_givers
from training.networks import rearranger
from training.palette import ClassEntry, Palette

LEVEL = {"resolution": 8, "heads": 4, "head_dim": 8}


def entry(number: int, name: str) -> ClassEntry:
    return ClassEntry(id=number, name=name, title=name, color="#102030")


def test_palette_gives_names_and_colours_in_the_order_of_ids() -> None:
    palette = Palette(classes=(entry(0, "sky"), entry(1, "sea")))
    assert palette.names == ("sky", "sea")
    assert palette.colors().tolist() == [[16, 32, 48], [16, 32, 48]]


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        ((entry(0, "sky"), entry(2, "sea")), "without a gap"),
        ((entry(1, "sky"), entry(0, "sea")), "without a gap"),
        ((entry(0, "sky"), entry(1, "sky")), "names must differ"),
        ((entry(0, "sky"),), "at least 2"),
    ],
)
def test_palette_refuses_what_a_label_map_cannot_use(classes: tuple[ClassEntry, ...], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Palette(classes=classes)


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


def test_fold_follows_from_the_pictures_and_the_proxy_masks() -> None:
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


def test_batches_of_a_section_are_shared_out() -> None:
    config = load_config("faces64")
    quarter = shared_out(config, "mapper", 4)
    assert quarter.mapper.cycle.batch == config.mapper.cycle.batch // 4
    assert quarter.mapper.supervised.batch == config.mapper.supervised.batch // 4
    assert quarter.rearranger == config.rearranger
    assert shared_out(config, "mapper", 1) is config


@pytest.mark.parametrize(
    ("shards", "complaint"),
    [
        (
            5,
            r"rearranger\.batch: 32 cannot be divided into 5 equal parts \(parts are devices x nodes x "
            r"accumulate\); it can be 1 or 2 or 4, or 5 with rearranger\.batch = 35$",
        ),
        (32, r"batch: 1 is too small; .* 1 or 2 or 4 or 8 or 16, or 32 with rearranger\.batch = 64$"),
        (64, r"rearranger\.batch: 32 cannot be divided .* or 64 with rearranger\.batch = 128$"),
    ],
)
def test_batches_that_cannot_be_shared_out_are_refused(shards: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        shared_out(load_config("faces64"), "rearranger", shards)


def test_advice_names_every_batch_of_a_section_with_several() -> None:
    wanted = r"or 48 with mapper\.label_segmenter\.batch = 96, mapper\.supervised\.batch = 48, mapper\.cycle"
    with pytest.raises(ValueError, match=wanted):
        shared_out(load_config("faces64"), "mapper", 48)


def test_sixteen_samples_on_eight_devices_still_swap_masks() -> None:
    settings = load_config("faces64").model_dump()
    settings["rearranger"]["batch"] = 16
    part = shared_out(PackConfig.model_validate(settings), "rearranger", 8).rearranger
    assert (part.batch, part.self_samples) == (2, 1)
    assert mask_givers(part.batch, part.self_samples).tolist() == [0, 0]
    assert mask_givers(5, 2).tolist() == [0, 1, 4, 2, 3]
