"""Contact sheets of what GroupDNet is for: styles, one part's style, mixtures, changed maps, morphing."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.samples import from_uint8, to_uint8
from training.groupdnet.samples import ImagePairs
from training.groupdnet.trained import TrainedStyles
from training.networks.one_hot import class_ids

ROWS = 5
STYLES = 6
FRAMES = 8
CELL = 128


class Showcase:
    """Draws the sheets, of held-out pairs."""

    def __init__(self, trained: TrainedStyles, pairs: ImagePairs) -> None:
        self.trained = trained
        self.rows, self.shown = min(ROWS, len(pairs)), trained.config.shown_style
        chosen = torch.arange(self.rows)
        self.images, self.maps = pairs.batch(chosen, torch.device("cpu"))
        self.codes = trained.codes(pairs, chosen)

    def sheets(self) -> dict[str, Image.Image]:
        """All sheets by name."""
        with torch.inference_mode():
            return {
                "styles": self._grid(self._styles()),
                self.trained.config.style_names[self.shown]: self._grid(self._single()),
                "mixtures": self._grid(self._mixtures()),
                "manipulation": self._grid(self._manipulation()),
                "morph": self._grid(self._morph()),
            }

    def _styles(self) -> list[NDArray[np.uint8]]:
        """Label map, then six draws from the joint prior."""
        codes = self.trained.prior.joint(self.trained.noise(STYLES, 5))
        return [self._painted(self.maps), *(self._made(one.expand(self.rows, -1, -1)) for one in codes)]

    def _single(self) -> list[NDArray[np.uint8]]:
        """Image, reconstruction, then only one style, the hair if there is one, drawn anew."""
        draws = self.trained.prior.single(self.trained.noise(STYLES - 1, 6))
        columns = [to_uint8(self.images), self._made(self.codes)]
        for draw in draws:
            codes = self.codes.clone()
            codes[:, self.shown] = draw[self.shown]
            columns.append(self._made(codes))
        return columns

    def _mixtures(self) -> list[NDArray[np.uint8]]:
        """Three images, and the first one's map with the second's hair and the rest but skin of the third.

        Where classes are others, hair is the shown style, and skin the first one.
        """
        second, third = self.codes.roll(-1, 0), self.codes.roll(-2, 0)
        mixed = third.clone()
        names = self.trained.config.style_names
        kept = [style for style, name in enumerate(names) if "skin" in name] or [0]
        mixed[:, kept] = self.codes[:, kept]
        mixed[:, self.shown] = second[:, self.shown]
        shown = to_uint8(self.images)
        people = [shown, np.roll(shown, -1, 0), np.roll(shown, -2, 0)]
        return [self._painted(self.maps), *people, self._made(mixed)]

    def _manipulation(self) -> list[NDArray[np.uint8]]:
        """The same codes with the next one's label map."""
        other = self.maps.roll(-1, 0)
        columns = [self._painted(self.maps), self._made(self.codes)]
        return [*columns, self._painted(other), self._made(self.codes, other)]

    def _morph(self) -> list[NDArray[np.uint8]]:
        """From the own codes to the next one's."""
        target = self.codes.roll(-1, 0)
        return [self._made(self.codes.lerp(target, i / (FRAMES - 1))) for i in range(FRAMES)]

    def _made(self, codes: Tensor, maps: Tensor | None = None) -> NDArray[np.uint8]:
        return to_uint8(self.trained.network(codes, self.maps if maps is None else maps))

    def _painted(self, maps: Tensor) -> NDArray[np.uint8]:
        return paint_labels(class_ids(maps), self.trained.config.palette)

    def _grid(self, columns: list[NDArray[np.uint8]]) -> Image.Image:
        grid: NDArray[np.uint8] = np.stack(columns, axis=1)
        return contact_sheet([from_uint8(grid[row]) for row in range(len(grid))], least=CELL)
