"""Sketches and scribbles: what is drawn for training, for measuring, and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import load_config
from training.drawn_by_hand import hand_scribbles, hand_sketches
from training.readers import NOT_DRAWN, ScribbleCompleter, SketchReader
from training.scribbles import ANY_HAND, CAREFUL, SLOPPY, Hand, scribbles
from training.sketches import any_sketches, as_sketches, difference_of_gaussians, edges, outlines

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
    assert 0.11 < on.mean() < 0.13


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 8))
@settings(max_examples=5, deadline=None)
def test_any_hand_can_scribble_any_label_map(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, (2, 64, 64), dtype=np.uint8)
    labels = labels[:, :24, :24]  # every pixel is a part of its own
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
    pictures, labels = torch.rand(3, 3, 64, 64), torch.from_numpy(LABELS).expand(3, -1, -1)
    one, other = (any_sketches(pictures, labels, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.dtype == torch.uint8
    assert one.shape == (3, 64, 64)


def test_outlines_are_where_classes_meet() -> None:
    (ink,) = outlines(torch.from_numpy(LABELS)[None])
    assert ink[19, 16:48].all()  # between hair and skin
    assert ink[40, 15] == ink[40, 47] == 1
    assert ink[40, 17:46].sum() == 0
    assert set(as_sketches(ink).unique().tolist()) == {0, 255}


@pytest.mark.parametrize("brightness", [1.0, 0.05])
def test_lines_of_a_picture_are_its_edges_however_dark_it_is(brightness: float) -> None:
    picture = torch.full((1, 3, 64, 64), -1.0)
    picture[:, :, :, 32:] += brightness
    for ink in (difference_of_gaussians(picture)[0], edges(picture)[0]):
        assert ink[:, 30:34].amax(1).min() > 0.3
        assert ink[:, :26].max() == ink[:, 38:].max() == 0


def test_a_plain_picture_has_no_lines() -> None:
    picture = torch.zeros(1, 3, 64, 64)
    assert difference_of_gaussians(picture).max() == edges(picture).max() == 0


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
    assert all(0.01 < (one != NOT_DRAWN).mean() < 0.4 for one in drawn)
    assert all(0.01 < (one > 0).mean() < 0.4 for one in sketches)
