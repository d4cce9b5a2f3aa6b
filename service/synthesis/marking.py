"""Marks finished images as what they are: made by a model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from service.codecs.image import ImageFormat
from service.codecs.provenance import DigitalSourceType, model_mark
from service.synthesis.registry.models import Model

if TYPE_CHECKING:
    from service.codecs.content_credentials import CredentialSigner

_logger = logging.getLogger(__name__)


class Marked(NamedTuple):
    """A finished file and what it says of itself.

    Attributes:
        data: The file.
        marked: Whether it says as XMP how it came about.
        signed: Whether it carries Content Credentials.
    """

    data: bytes
    marked: bool
    signed: bool


class Marking:
    """How the files of a service are marked.

    Args:
        enabled: Whether they get XMP.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._signer: CredentialSigner | None = None
        self._failed = False

    def sign_with(self, signer: CredentialSigner) -> None:
        """Sign from the next file on, with this signer."""
        self._signer, self._failed = signer, False

    def mark(self, data: bytes, image_format: ImageFormat, source: DigitalSourceType, model: Model) -> Marked:
        """Mark a file; raw pixels, which have no place for a mark, stay as they are.

        A file that cannot be signed (the certificate has expired, for one) goes out unsigned and says so.

        Args:
            data: The file, as encoded.
            image_format: Its format.
            source: How the image came about.
            model: The model that made it.
        """
        if image_format is ImageFormat.RAW:
            return Marked(data, marked=False, signed=False)
        if self._enabled:
            data = model_mark(source, model.name, model.version).put_into(data, image_format)
        signer = self._signer
        if signer is None:
            return Marked(data, self._enabled, signed=False)
        from service.codecs.content_credentials import SigningError  # noqa: PLC0415 - it is there by now

        try:
            signed = signer.sign(data, image_format, source, model.name, model.version)
        except SigningError as error:
            if not self._failed:  # once for each signer: with every image it would fill the log
                _logger.error("images go out without Content Credentials", extra={"problem": str(error)})
            self._failed = True
            return Marked(data, self._enabled, signed=False)
        return Marked(signed, self._enabled, signed=True)


XMP_ONLY = Marking()
"""The marking of a service that is told nothing about it."""
