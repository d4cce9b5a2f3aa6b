"""Contact sheets show images in their own size and shape."""

import numpy as np
import pytest
import torch

from training.data.contact_sheets import SHEET_WIDTH, contact_sheet


@pytest.mark.parametrize(
    ("size", "count", "least", "cell"),
    [
        ((32, 32), 3, 96, (96, 96)),
        ((64, 64), 3, 128, (128, 128)),
        ((256, 256), 16, 96, (256, 256)),
        ((256, 512), 4, 96, (256, 512)),
        ((1024, 1024), 2, 96, (1024, 1024)),
        ((1024, 1024), 16, 96, (256, 256)),
        ((256, 256), 100, 96, (96, 96)),
    ],
)
def test_images_are_shown_whole_unless_the_sheet_would_be_huge(
    size: tuple[int, int], count: int, least: int, cell: tuple[int, int]
) -> None:
    rows = [np.zeros((count, *size, 3), np.uint8), np.zeros((count, size[0] // 2, size[1] // 2, 3), np.uint8)]
    sheet = contact_sheet(rows, least=least)
    assert (sheet.height, sheet.width) == (2 * cell[0], count * cell[1])
    assert sheet.width <= SHEET_WIDTH or cell[0] == least


def test_an_image_in_its_own_size_is_itself() -> None:
    image = torch.randint(0, 256, (1, 3, 128, 128), generator=torch.Generator().manual_seed(0))
    sheet = np.asarray(contact_sheet([image / 127.5 - 1]))
    assert (sheet == image[0].permute(1, 2, 0).numpy()).all()
