"""What a pack of GroupDNet trains on and is measured by: samples of a SIS-UG pack, or folders of images.

The samples come with networks of their pack and a labeller. Folders have neither: the pack trains a label
segmenter of its own first, which losses ask. Without a labeller, and without a judge that had no part in the
training (`training.groupdnet.judging`), it must do for the evaluation, too, which then says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.config.packs import pack_folder
from training.config.weights import load_weights
from training.data.folders import TRAIN, FoldersSection, load_folders
from training.data.labelled import run_labeller
from training.data.reading import read_label_maps
from training.groupdnet.config import SamplesSection, StylesConfig
from training.groupdnet.samples import ImagePairs, load_pairs
from training.networks.unet import UNet, frozen
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.build import (
    PROXY_SEGMENTER,
    label_segmenter,
    pretrained_generator,
    proxy_segmenter,
)
from training.sis_ug.pipeline import LABEL_SEGMENTER
from training.sis_ug.sections import SegmenterSection

FACE_LABELLER = "training.data.face_labeller"

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]


class Source(ABC):
    """See the module's text.

    Attributes:
        eyes_name: whose features images are compared by, in words.
        eyes_note: what part they had in the training.
        note: what reads label maps, and what part that had in the training.
        has_labeller: whether that is a program, which no loss asks.
        found: title of the share of images in which what reads label maps finds anything; None where it
            always does.
    """

    eyes_name: str
    eyes_note: str
    note: str
    has_labeller: bool = True
    found: str | None = "found"

    @abstractmethod
    def pairs(self, split: str, limit: int | None = None, device: str = "cpu") -> ImagePairs:
        """Images and label maps of a split, such as "train" or "heldout", the first `limit` or all.

        Raises:
            FileNotFoundError: if they are not there.
            ValueError: if they are not those of the configuration or cannot be read, or it has no such
                split.
        """

    @abstractmethod
    def label_segmenter(self) -> UNet:
        """The network that reads label maps off images while training.

        Raises:
            FileNotFoundError: if it has not been trained.
        """

    @abstractmethod
    def eyes(self) -> UNet:
        """The network whose features images are compared by.

        Raises:
            FileNotFoundError: if it has not been trained.
        """

    @abstractmethod
    def read(self, images: Images, python: Path | None) -> tuple[Labels, NDArray[np.bool_]]:
        """Label maps as read off images, uint8 `[N, H, W]`, and where something was found, bool `[N]`.

        Args:
            images: uint8 `[N, H, W, 3]`.
            python: as for `run_labeller`.

        Raises:
            LabellerError: as `run_labeller`.
        """


class PackSamples(Source):
    """The labelled samples of a pack of the method SIS-UG, whose palette must be the same."""

    eyes_name = PROXY_SEGMENTER
    eyes_note = "no loss of this pack asks it"

    def __init__(self, config: StylesConfig, pack: PackConfig) -> None:
        if pack.palette != config.palette:
            raise ValueError(
                f"palette: must be that of pack {pack.pack.name!r}, whose label maps are trained on"
            )
        if pack.data.labeller == FACE_LABELLER:
            self.found = "faces found"
        self.note = (
            f"Read by {pack.data.labeller}: no loss asks it, but its labels are what the network is "
            "conditioned on, and taught the label segmenter that two losses ask."
        )
        self._pack, self._folder, self._size = pack, pack_folder(pack.pack.name), config.network.image_size
        assert isinstance(config.data, SamplesSection)
        self._samples = config.data.samples

    def pairs(self, split: str, limit: int | None = None, device: str = "cpu") -> ImagePairs:
        """See `Source`."""
        generator = pretrained_generator(self._pack).to(torch.device(device))
        if split == TRAIN and self._samples is not None:
            limit = min(self._samples, limit or self._samples)
        pairs = load_pairs(self._pack, generator, split, limit)
        if (found := tuple(pairs.images.shape[2:])) != self._size:
            raise ValueError(
                f"network: makes images of {self._size[0]} x {self._size[1]} pixels, pack "
                f"{self._pack.pack.name!r} has {found[0]} x {found[1]}; start_side, the number of blocks, "
                "fold and aspect decide"
            )
        return pairs

    def label_segmenter(self) -> UNet:
        """See `Source`."""
        return load_weights(label_segmenter(self._pack), self._folder, LABEL_SEGMENTER)

    def eyes(self) -> UNet:
        """See `Source`."""
        return load_weights(proxy_segmenter(self._pack), self._folder, "proxy_segmenter")

    def read(self, images: Images, python: Path | None) -> tuple[Labels, NDArray[np.bool_]]:
        """See `Source`."""
        return run_labeller(self._pack.data.labeller, images, python)


class Folders(Source):
    """Images and label maps from folders; the label segmenter is the pack's own."""

    eyes_name = "the pack's own label segmenter"
    eyes_note = "two losses ask this very network: such distances flatter"

    def __init__(
        self, config: StylesConfig, data: FoldersSection, section: SegmenterSection, folder: Path
    ) -> None:
        self._config, self._data, self._section, self._folder = config, data, section, folder
        if data.labeller is None:
            self.found, self.has_labeller = None, False
            self.note = (
                "No labeller is given (data.labeller): label maps are read by the pack's own label segmenter "
                "that had a part in the training, so that accuracy and mIoU flatter."
            )
        else:
            self.note = f"Read by {data.labeller}, a program that no loss asks."

    def pairs(self, split: str, limit: int | None = None, device: str = "cpu") -> ImagePairs:
        """See `Source`."""
        palette, size = self._config.palette, self._config.network.image_size
        images, labels = load_folders(self._data, palette, size, split, limit)
        planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return ImagePairs(planes, torch.from_numpy(labels), len(palette), self._data.mirror)

    def label_segmenter(self) -> UNet:
        """See `Source`."""
        return load_weights(self.new_label_segmenter(), self._folder, LABEL_SEGMENTER)

    def new_label_segmenter(self) -> UNet:
        """As it is before its training."""
        return UNet(3, len(self._config.palette), self._section.widths, unfold=True)

    def eyes(self) -> UNet:
        """See `Source`."""
        return self.label_segmenter()

    def read(self, images: Images, python: Path | None) -> tuple[Labels, NDArray[np.bool_]]:
        """See `Source`."""
        if self._data.labeller is not None:
            return run_labeller(self._data.labeller, images, python)
        read = read_label_maps(frozen(self.label_segmenter()), images)
        return read, np.ones(len(images), bool)


def source_of(config: StylesConfig, folder: Path) -> Source:
    """The source that a configuration names.

    Args:
        config: the pack's.
        folder: the pack's, where a label segmenter of its own is kept.

    Raises:
        ValueError: if it names a pack that is unknown, of another method or with another palette.
    """
    segmenter = config.needed_training.judge
    if isinstance(config.data, SamplesSection):
        return PackSamples(config, load_config(config.data.pack))
    assert segmenter is not None  # as the configuration has checked
    assert config.data is not None
    return Folders(config, config.data, segmenter, folder)


def trained_label_segmenter(config: StylesConfig, folder: Path) -> UNet | None:
    """The label segmenter of a pack, ready to be exported: in weights that half precision holds exactly.

    Args:
        config: the pack's.
        folder: the pack's.

    Returns:
        The pack's own or that of the pack whose samples it has; None where that is not trained, and for an
        imported pack, which has no data.
    """
    if config.data is None:
        return None
    try:
        network = source_of(config, folder).label_segmenter()
    except FileNotFoundError:
        return None
    return frozen(network).half().float()
