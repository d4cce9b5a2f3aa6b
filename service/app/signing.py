"""The certificate that images are signed with (C2PA): reloaded without a restart when its files change."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cryptography.exceptions import UnsupportedAlgorithm

from service.app.certificates import parse_certificates, parse_key
from service.app.files import read_file, reloading, stamp
from service.app.settings import Settings
from service.codecs.content_credentials import CredentialSigner, SigningError
from service.codecs.image import ImageFormat, encode_image
from service.codecs.provenance import DigitalSourceType
from service.core.errors import ConfigurationError
from service.core.metrics import Metrics
from service.synthesis.marking import Marking

_MAX_BYTES = 2**20
_SOON = timedelta(days=14)

_logger = logging.getLogger(__name__)


class SigningCertificateError(ConfigurationError):
    """A certificate or key that images cannot be signed with."""


@dataclass(frozen=True, slots=True)
class SigningFiles:
    """The PEM files of the operator.

    Attributes:
        certificate: The certificate, followed by those that lead to its authority.
        key: The certificate's private key.
    """

    certificate: Path
    key: Path

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both."""
        return self.certificate, self.key


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """What the files hold, checked.

    Attributes:
        signer: Signs with it.
        expires: When the certificate does, in seconds since 1970; 0 when nothing can be signed with it now.
        warnings: What is usable but should be looked at.
    """

    signer: CredentialSigner
    expires: float
    warnings: tuple[str, ...] = ()


def signing_files(settings: Settings) -> SigningFiles | None:
    """The files that the settings name; None when images are not to be signed."""
    if settings.c2pa_certificate is None or settings.c2pa_key is None:
        return None
    return SigningFiles(settings.c2pa_certificate, settings.c2pa_key)


def read_signing_certificate(files: SigningFiles) -> SigningCertificate:
    """Read and check the files, and sign something with them.

    A certificate that has expired is no reason not to start: images go out unsigned, and say so.

    Raises:
        SigningCertificateError: They cannot be read, are not PEM, do not belong together, or are not for
            signing images; or the extra c2pa is not installed.
    """
    certificate = _read("c2pa_certificate", files.certificate)
    key = _read("c2pa_key", files.key)
    where = f"c2pa_certificate {files.certificate}"
    try:
        first, *_ = parse_certificates(certificate)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningCertificateError(
            [f"{where}: has no certificate in PEM form, or a malformed one"]
        ) from None
    try:
        parse_key(key, first)
    except ValueError as error:
        raise SigningCertificateError([f"c2pa_key {files.key}: {error}"]) from None
    try:
        signer = CredentialSigner(certificate, key, version("maskweave"))
        now, expires = datetime.now(UTC), first.not_valid_after_utc
        if expires <= now or first.not_valid_before_utc > now:
            is_not = "has expired" if expires <= now else "is not yet valid"
            return SigningCertificate(signer, 0.0, (f"{where}: {is_not}; images are not signed",))
        _try(signer)
    except SigningError as error:
        raise SigningCertificateError([f"{where}: {error}"]) from None
    soon = (f"{where}: expires on {expires:%Y-%m-%d %H:%M} UTC",) if expires < now + _SOON else ()
    return SigningCertificate(signer, expires.timestamp(), soon)


@asynccontextmanager
async def followed_signing(files: SigningFiles, marking: Marking, metrics: Metrics) -> AsyncIterator[None]:
    """Sign images with what the files hold at any time inside this context.

    Files that cannot be used any more are logged, and the certificate from before stays.

    Raises:
        SigningCertificateError: They cannot be used at the start.
    """

    def use(certificate: SigningCertificate) -> None:
        marking.sign_with(certificate.signer)
        metrics.certificate_expires(str(files.certificate), certificate.expires)
        for warning in certificate.warnings:
            _logger.warning("look at the certificate", extra={"problem": warning})

    known = stamp(files.paths)
    use(read_signing_certificate(files))
    load = partial(read_signing_certificate, files)
    async with reloading("signing certificate", files.paths, known, load, use, metrics):
        yield


def _read(setting: str, file: Path) -> bytes:
    try:
        return read_file(file, _MAX_BYTES)
    except OSError as error:
        raise SigningCertificateError([f"{setting} {file}: cannot be read: {error.strerror}"]) from None


def _try(signer: CredentialSigner) -> None:
    """Sign an image of one pixel: only then does the library look at what the certificate is for.

    Raises:
        SigningError: It cannot be signed.
    """
    pixel = encode_image(np.zeros((1, 1, 3), np.uint8), ImageFormat.PNG, None)
    signer.sign(pixel, ImageFormat.PNG, DigitalSourceType.TRAINED, "trial", "0.0.0")
