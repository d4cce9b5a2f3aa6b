"""Images for the pack `dolls`, and what one sees in those that it makes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskweave_client import Client, GeneratedImage, Style
from service.synthesis.validation.latents import normal_from_seed
from tests.support.dolls_pack import LABEL_MAP, SIZE, STYLE_OF_CLASS, STYLES
from tests.support.small_pack import LATENT_SCALE

Pixels = NDArray[np.uint8]


def latent_of(seed: int) -> NDArray[np.float32]:
    """The latent that the service draws, float32 [12]."""
    return normal_from_seed(seed, STYLES * SIZE).astype(np.float32) * np.float32(LATENT_SCALE)


def painted(*colors: tuple[int, int, int]) -> Pixels:
    """An image whose pixels have the colours of their styles, uint8 [8, 8, 3]."""
    of_style = np.array(colors, np.uint8)
    pixels: Pixels = of_style[np.array(STYLE_OF_CLASS)[LABEL_MAP]]
    return pixels


HERS = painted((10, 20, 30), (200, 100, 40), (220, 180, 160), (0, 128, 250))
HIS = painted((90, 90, 90), (40, 40, 40), (120, 80, 60), (60, 30, 20))


def seen(image: GeneratedImage, class_id: int, label_map: Pixels = LABEL_MAP) -> tuple[int, ...]:
    """The one colour of a class in an image."""
    colors = np.unique(image.to_numpy()[label_map == class_id], axis=0)
    assert len(colors) == 1, colors
    return tuple(colors[0].tolist())


def make(
    client: Client, styles: dict[int, Style], seed: int = 1, label_map: Pixels = LABEL_MAP
) -> GeneratedImage:
    """An image of `dolls` with these styles."""
    return client.synthesize("dolls", label_map, seed=seed, styles=styles).images[0]
