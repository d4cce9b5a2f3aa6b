"""Label maps as networks read them off images."""

import numpy as np
import pytest
import torch
from torch import nn

from training.data.reading import CHUNK, disturbed, read_label_maps


class Brightness(nn.Module):
    """Class 0, 1 or 2 by how bright a pixel is; notes how many images it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.given.append(len(images))
        return -(images.mean(1, keepdim=True) - torch.tensor([-1.0, 0.0, 1.0])[:, None, None]).abs()


@pytest.mark.parametrize(("side", "at_once"), [(64, CHUNK), (128, CHUNK // 4)])
def test_likeliest_classes_are_read_in_chunks_of_one_size_in_memory(side: int, at_once: int) -> None:
    levels = np.array([0, 128, 255], np.uint8)[np.arange(60) % 3]
    images = np.broadcast_to(levels[:, None, None, None], (60, side, side, 3)).copy()
    network = Brightness()
    read = read_label_maps(network, images)
    assert (read == (np.arange(60) % 3)[:, None, None]).all()
    assert read.shape == (60, side, side)
    assert read.dtype == np.uint8
    assert max(network.given) == at_once


def test_disturbed_images_are_images_and_follow_the_generator_given() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, again, other = (disturbed(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert first.abs().max() <= 1
    assert not torch.equal(first, images)
    assert not torch.equal(first, other)
