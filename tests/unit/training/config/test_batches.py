"""Batches of a section, split among shards."""

import pytest

from training.config.batches import split_batches
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.loops.rearranger import mask_givers


def test_batches_of_a_section_are_shared_out() -> None:
    config = load_config("faces64")
    quarter = split_batches(config, "mapper", 4)
    assert quarter.mapper.cycle.batch == config.mapper.cycle.batch // 4
    assert quarter.mapper.supervised.batch == config.mapper.supervised.batch // 4
    assert quarter.rearranger == config.rearranger
    assert split_batches(config, "mapper", 1) is config


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
        split_batches(load_config("faces64"), "rearranger", shards)


def test_advice_names_every_batch_of_a_section_with_several() -> None:
    wanted = r"or 48 with mapper\.label_segmenter\.batch = 96, mapper\.supervised\.batch = 48, mapper\.cycle"
    with pytest.raises(ValueError, match=wanted):
        split_batches(load_config("faces64"), "mapper", 48)


def test_sixteen_samples_on_eight_devices_still_swap_masks() -> None:
    settings = load_config("faces64").model_dump()
    settings["rearranger"]["batch"] = 16
    part = split_batches(PackConfig.model_validate(settings), "rearranger", 8).rearranger
    assert (part.batch, part.self_samples) == (2, 1)
    assert mask_givers(part.batch, part.self_samples).tolist() == [0, 0]
    assert mask_givers(5, 2).tolist() == [0, 1, 4, 2, 3]
