"""Class ids as one channel a class, and back."""

import torch

from training.config.palette import IGNORED
from training.networks.one_hot import class_ids, one_hot


def test_maps_without_a_class_come_back_as_such() -> None:
    ids = torch.tensor([[[0, 2], [IGNORED, 1]]], dtype=torch.uint8)
    maps = one_hot(ids, 3)
    assert maps[0, :, 1, 0].tolist() == [0, 0, 0]
    assert class_ids(maps).tolist() == ids.tolist()


def test_one_hot_marks_each_cells_id() -> None:
    ids = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    assert one_hot(ids, 3).argmax(1).tolist() == ids.tolist()
    assert one_hot(ids, 3).sum(1).eq(1).all()
