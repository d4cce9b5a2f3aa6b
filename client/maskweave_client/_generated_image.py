"""Images as the service sends them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import FORMAT_VALUES

DigitalSourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
"""How an image came about, by the terms of IPTC's vocabulary."""

_SOURCE_TYPES: dict[int, DigitalSourceType] = {
    pb.DIGITAL_SOURCE_TYPE_TRAINED_ALGORITHMIC_MEDIA: "trainedAlgorithmicMedia",
    pb.DIGITAL_SOURCE_TYPE_COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA: "compositeWithTrainedAlgorithmicMedia",
}

_FORMATS: dict[int, Literal["png", "jpeg", "webp", "raw"]] = {
    value: name for name, value in FORMAT_VALUES.items()
}

_ENDINGS = {"png": (".png",), "jpeg": (".jpg", ".jpeg"), "webp": (".webp",), "raw": ()}


@dataclass(frozen=True)
class GeneratedImage:
    """An image as the service sent it.

    Attributes:
        data: The file; for `raw` the pixels, row by row.
        format: Its format.
        width: Width in pixels.
        height: Height in pixels.
        seed: Seed that it came from; None when it came from an explicit latent.
        digital_source_type: How it came about; None from services that do not say.
        marked: Whether `data` says so by itself, as XMP.
        content_credentials: Whether `data` carries Content Credentials (C2PA) of the service's operator.
    """

    data: bytes
    format: Literal["png", "jpeg", "webp", "raw"]
    width: int
    height: int
    seed: int | None
    digital_source_type: DigitalSourceType | None = None
    marked: bool = False
    content_credentials: bool = False

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file as the service sent it, with the marks that say how the image came about.

        Args:
            path: Where to; its ending is that of the format: .png, .jpg, .jpeg or .webp.

        Raises:
            ValueError: The ending is that of another format, or the image is raw pixels, which are no file.
            OSError: It cannot be written.
        """
        target = Path(path)
        endings = _ENDINGS[self.format]
        if target.suffix.lower() not in endings:
            allowed = " or ".join(endings) or "to_pil() for raw pixels, which are no file"
            raise ValueError(f"path: got {str(path)!r} for an image in {self.format}; allowed: {allowed}")
        target.write_bytes(self.data)

    def to_numpy(self) -> NDArray[np.uint8]:
        """The pixels: RGB, uint8 `[height, width, 3]`."""
        if self.format == "raw":
            return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 3)
        return np.asarray(self.to_pil())

    def to_pil(self) -> Image.Image:
        """The image as an RGB image.

        Its `info["xmp"]` has the mark of the file, which Pillow leaves out when it saves: see
        the documentation, "Saving images anew".
        """
        if self.format == "raw":
            return Image.fromarray(self.to_numpy())
        with Image.open(io.BytesIO(self.data)) as image:
            return image.convert("RGB")


def image_from_proto(image: pb.Image) -> GeneratedImage:
    """Read an image."""
    return GeneratedImage(
        data=image.data,
        format=_FORMATS[image.format],
        width=image.width,
        height=image.height,
        seed=image.seed if image.HasField("seed") else None,
        digital_source_type=_SOURCE_TYPES.get(image.digital_source_type),
        marked=image.marked,
        content_credentials=image.content_credentials,
    )
