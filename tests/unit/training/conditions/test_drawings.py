"""Sketches and scribbles: what is drawn for training, for measuring, and by hand."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from training.conditions.drawn_by_hand import fits, hand_scribbles, hand_sketches
from training.conditions.readers import NOT_DRAWN, ScribbleCompleter, SketchReader
from training.conditions.scribbles import ANY_HAND, CAREFUL, SLOPPY, Hand, scribbles
from training.conditions.sketches import (
    any_sketches,
    as_sketches,
    difference_of_gaussians,
    edges,
    fine_sketches,
    outlines,
)
from training.conditions.strokes import Dab
from training.sis_ug.config import load_config

LABELS = np.zeros((64, 64), np.uint8)
LABELS[20:60, 16:48] = 2
LABELS[8:20, 12:52] = 1
LABELS[30:33, 22:28] = LABELS[30:33, 36:42] = 4


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_careful_scribbles_stay_inside_their_regions_and_name_every_class(seed: int) -> None:
    (drawn,) = scribbles(LABELS[None], CAREFUL, np.random.default_rng(seed))
    on = drawn != NOT_DRAWN
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn[on], LABELS[on])
    assert set(drawn[on]) == {0, 1, 2, 4}
    assert on.sum() > CAREFUL.coverage[0] * LABELS.size - 1


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 8))
@settings(max_examples=5, deadline=None)
def test_any_hand_can_scribble_any_label_map(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, (2, 64, 64), dtype=np.uint8)
    for hand in (ANY_HAND, SLOPPY):
        drawn = scribbles(labels, hand, random)
        assert drawn.shape == labels.shape
        assert set(np.unique(drawn)) <= {*range(classes), NOT_DRAWN}


def test_sloppy_strokes_overshoot_by_no_more_than_allowed() -> None:
    hand = Hand(coverage=(0.2, 0.2), widths=(3, 5), sloppy=1.0, overshoot=2)
    wrong = 0
    for seed in range(5):
        (drawn,) = scribbles(LABELS[None], hand, np.random.default_rng(seed))
        below_skin = drawn[62:, :] == 2  # the skin ends in row 59
        assert not below_skin.any()
        wrong += int((drawn[drawn != NOT_DRAWN] != LABELS[drawn != NOT_DRAWN]).sum())
    assert wrong > 0


def test_classes_can_be_left_out_but_never_all() -> None:
    hand = Hand(coverage=(0.05, 0.05), widths=(1, 2), left_out=1.0)
    (drawn,) = scribbles(LABELS[None], hand, np.random.default_rng(0))
    assert set(np.unique(drawn)) == {0, NOT_DRAWN}


def test_same_seed_draws_the_same() -> None:
    first, second = (scribbles(LABELS[None], ANY_HAND, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    images, labels = torch.rand(3, 3, 64, 64), torch.from_numpy(LABELS).expand(3, -1, -1)
    one, other = (any_sketches(images, labels, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.dtype == torch.uint8
    assert one.shape == (3, 64, 64)


def test_drawings_of_small_maps_are_what_the_shipped_readers_were_trained_on() -> None:
    """Recorded before strokes could be laid on larger maps."""
    digest = hashlib.sha256()
    for seed in range(20):
        for hand in (ANY_HAND, CAREFUL, SLOPPY):
            digest.update(scribbles(LABELS[None], hand, np.random.default_rng(seed)).tobytes())
    assert digest.hexdigest() == "42d08f56fc5ba78c23d9ec900d38708ad0ff23a24033a53a57d513902971f6af"


@pytest.mark.parametrize("scale", [2, 16])
def test_large_maps_get_the_same_strokes_wider(scale: int) -> None:
    """Every class drawn, none outside of its region, and as much of the map as on a small one."""
    large = LABELS.repeat(scale, 0).repeat(scale, 1)
    large[: scale // 2] = 2  # finer than a pixel of the small map
    for seed in range(3):
        (small,) = scribbles(LABELS[None], CAREFUL, np.random.default_rng(seed))
        (drawn,) = scribbles(large[None], CAREFUL, np.random.default_rng(seed))
        on = drawn != NOT_DRAWN
        assert np.array_equal(drawn[on], large[on])
        assert set(drawn[on]) == {0, 1, 2, 4}
        assert abs(on.mean() - (small != NOT_DRAWN).mean()) < 0.03
        coarse = drawn[scale // 2 :: scale, scale // 2 :: scale]
        assert ((coarse != NOT_DRAWN) == (small != NOT_DRAWN)).mean() > 0.95
    (sloppy,) = scribbles(large[None], Hand((0.2, 0.2), (3, 5), 1.0, 2), np.random.default_rng(0))
    assert not (sloppy[62 * scale :] == 2).any()  # within two pixels of the small map
    assert (sloppy[sloppy != NOT_DRAWN] != large[sloppy != NOT_DRAWN]).any()


def test_strokes_on_a_large_map_touch_no_more_than_their_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirteen seconds a map of 1024 px, when every try was drawn on all of it."""
    seen = []
    distances = ndimage.distance_transform_edt

    def recorded(region: np.ndarray) -> np.ndarray:
        seen.append(region.shape)
        result: np.ndarray = distances(region)
        return result

    monkeypatch.setattr(ndimage, "distance_transform_edt", recorded)
    large = LABELS.repeat(16, 0).repeat(16, 1)
    for seed in range(5):
        scribbles(large[None], ANY_HAND, np.random.default_rng(seed))
    assert set(seen) == {(64, 64)}
    dab = Dab(30.0, 30.0, 3).at(16, (64, 64))[2]
    assert max(dab.shape) < 100


def test_pens_grow_with_the_image() -> None:
    images = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0)) * 0.1
    images[:, :, :, 256:] += 0.5
    labels = (images[:, 0] > 0.3).to(torch.uint8)
    lines, outlined = fine_sketches(images, labels)
    for ink in (lines, outlined):
        assert ink.shape == (2, 512, 512)
        across = (ink[:, 100:400].mean(1) > 0.2).sum(1)
        assert (across >= 3).all()
    widths = set()
    for seed in range(6):
        drawn = any_sketches(images, labels, torch.Generator().manual_seed(seed))
        assert drawn.shape == (2, 512, 512)
        widths.add(int((drawn[0].float().mean(0) > 60).sum()))
    assert len(widths) > 2


@pytest.mark.parametrize("side", [64, 256])
def test_readers_fold_large_drawings(side: int) -> None:
    """At any size the network works on 32 x 32 cells."""
    sizes = []
    for reader in (SketchReader(8, (8, 8), side // 32), ScribbleCompleter(8, (8, 8), side // 32)):
        reader.network.stem.register_forward_hook(lambda *given: sizes.append(given[2].shape[-1]))
        assert reader.eval()(torch.zeros(1, side, side, dtype=torch.uint8)).shape == (1, 8, side, side)
    assert sizes == [32, 32]


def test_drawings_by_hand_fit_any_size_and_only_their_own_classes() -> None:
    palette = load_config("faces64").palette
    assert hand_scribbles(palette, 128).shape[1:] == (128, 128)
    assert hand_sketches(32).shape[1:] == (32, 32)
    assert fits(palette)
    other = palette.model_copy(update={"classes": palette.classes[:2]})
    assert not fits(other)


def test_outlines_are_where_classes_meet() -> None:
    (ink,) = outlines(torch.from_numpy(LABELS)[None])
    assert ink[19, 16:48].all()  # between hair and skin
    assert ink[40, 15] == ink[40, 47] == 1
    assert ink[40, 17:46].sum() == 0
    assert set(as_sketches(ink).unique().tolist()) == {0, 255}


@pytest.mark.parametrize("brightness", [1.0, 0.05])
def test_lines_of_an_image_are_its_edges_however_dark_it_is(brightness: float) -> None:
    image = torch.full((1, 3, 64, 64), -1.0)
    image[:, :, :, 32:] += brightness
    for ink in (difference_of_gaussians(image)[0], edges(image)[0]):
        assert ink[:, 30:34].amax(1).min() > 0.3
        assert ink[:, :26].max() == ink[:, 38:].max() == 0


def test_a_plain_image_has_no_lines() -> None:
    image = torch.zeros(1, 3, 64, 64)
    assert difference_of_gaussians(image).max() == edges(image).max() == 0


def test_readers_take_every_byte() -> None:
    drawing = torch.arange(256, dtype=torch.uint8).repeat(16).view(1, 64, 64)
    for reader in (SketchReader(8, (8, 8)), ScribbleCompleter(8, (8, 8))):
        logits = reader.eval()(drawing)
        assert logits.shape == (1, 8, 64, 64)
        assert logits.isfinite().all()


def test_what_is_no_class_counts_as_not_drawn() -> None:
    completer = ScribbleCompleter(8, (8, 8)).eval()
    drawn, unknown = torch.full((1, 64, 64), NOT_DRAWN), torch.full((1, 64, 64), 8)
    assert torch.equal(completer(drawn.byte()), completer(unknown.byte()))


def test_drawings_by_hand_are_of_the_palette_and_leave_most_empty() -> None:
    palette = load_config("faces64").palette
    drawn, sketches = hand_scribbles(palette), hand_sketches()
    assert drawn.shape[1:] == sketches.shape[1:] == (64, 64)
    assert set(np.unique(drawn)) <= {*range(len(palette)), NOT_DRAWN}
    assert all(0.01 < (one != NOT_DRAWN).mean() < 0.5 for one in drawn)
    assert all(0.01 < (one > 0).mean() < 0.35 for one in sketches)
