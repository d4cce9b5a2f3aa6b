"""What an image file says of itself, as exiv2 reads it."""

from __future__ import annotations

import exiv2


def xmp_tags(data: bytes) -> dict[str, str]:
    """Value of each XMP property of a file by exiv2's key, for example `Xmp.iptcExt.DigitalSourceType`."""
    image = exiv2.ImageFactory.open(data)
    image.readMetadata()
    return {each.key(): each.toString() for each in image.xmpData()}
