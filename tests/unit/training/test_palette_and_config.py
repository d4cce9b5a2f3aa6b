from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config import load_config, read_config
from training.palette import ClassEntry, Palette


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


def test_held_out_seeds_are_never_trained_on() -> None:
    data = load_config("faces64").data
    train = range(data.train_first_seed, data.train_first_seed + data.train_samples)
    heldout = range(data.heldout_first_seed, data.heldout_first_seed + data.heldout_samples)
    assert max(heldout) < min(train) or max(train) < min(heldout)


def test_unknown_pack_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'nobody' is unknown; available: .*faces64"):
        load_config("nobody")


def test_unknown_key_in_a_configuration_is_named(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "training/packs/faces64/config.toml"
    changed = tmp_path / "config.toml"
    changed.write_text(source.read_text().replace("[latent]", "[latent]\nscael = 1"))
    with pytest.raises(ValidationError, match=r"latent\.scael"):
        read_config(changed)
