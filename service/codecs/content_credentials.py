"""Content Credentials: signs image files with the operator's certificate (C2PA).

Needs the extra `c2pa`; imported only where a certificate is set. Source: C2PA technical specification 2.2
(https://spec.c2pa.org/).
"""

from __future__ import annotations

import io
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from service.codecs.image import ImageFormat
from service.codecs.provenance import CREATOR_TOOL, DigitalSourceType

_MEDIA_TYPES = {
    ImageFormat.PNG: "image/png",
    ImageFormat.JPEG: "image/jpeg",
    ImageFormat.WEBP: "image/webp",
}

_OF_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}

ALLOWED_KEYS = "an elliptic curve of NIST P-256, P-384 or P-521, Ed25519, or RSA"

# Nothing is fetched and nothing is checked a second time while images are being made; a thumbnail in every
# manifest would be larger than many of the images.
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}


class SigningError(Exception):
    """Files cannot be signed; the text says why, as the end of a sentence about the certificate."""


class CredentialSigner:
    """Signs files. May be used by several threads at once.

    Args:
        certificate: PEM of the certificate and of those that lead to its authority.
        key: PEM of its private key, unencrypted.
        version: Version of this service, which the manifests name.

    Raises:
        SigningError: The library is not installed, or cannot use the certificate or the key.
    """

    def __init__(self, certificate: bytes, key: bytes, version: str) -> None:
        try:
            import c2pa  # noqa: PLC0415 - an extra
        except ImportError:
            raise SigningError(
                "needs c2pa-python, which is not installed: the extra c2pa brings it"
            ) from None
        self._library: Any = c2pa
        self._version = version
        # What the signer refers to must live as long as it does.
        self._info = c2pa.C2paSignerInfo(algorithm(certificate), certificate, key, None)
        try:
            self._context = c2pa.Context.from_dict(_SETTINGS)
            self._signer = c2pa.Signer.from_info(self._info)
        except c2pa.C2paError as error:
            raise SigningError(f"cannot be used for signing: {error}") from None

    def sign(
        self, data: bytes, image_format: ImageFormat, source: DigitalSourceType, model: str, version: str
    ) -> bytes:
        """Put a signed manifest into a file; it holds for the file's bytes, other metadata included.

        Args:
            data: The file.
            image_format: Its format; not RAW.
            source: How the image came about.
            model: Name of the model that made it.
            version: The model's version.

        Returns:
            The file with the manifest: other bytes each time, because manifests have random salts.

        Raises:
            SigningError: It cannot be signed: the certificate has expired, for one.
        """
        action = {
            "action": "c2pa.created",
            "digitalSourceType": source.uri,
            "softwareAgent": {"name": model, "version": version},
        }
        manifest = {
            "claim_generator_info": [{"name": CREATOR_TOOL, "version": self._version}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        signed = io.BytesIO()
        try:
            with self._library.Builder(manifest, self._context) as builder:
                builder.sign(self._signer, _MEDIA_TYPES[image_format], io.BytesIO(data), signed)
        except self._library.C2paError as error:
            raise SigningError(f"cannot be used for signing: {error}") from None
        return signed.getvalue()


def algorithm(certificate: bytes) -> str:
    """Which of C2PA's signature algorithms goes with a certificate.

    Raises:
        SigningError: None does, or it is no certificate.
    """
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError("has no certificate in PEM form, or a malformed one") from None
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name in _OF_CURVES:
            return _OF_CURVES[key.curve.name]
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case rsa.RSAPublicKey():
            return "ps256"
    raise SigningError(f"has a key of a kind that C2PA does not allow; allowed: {ALLOWED_KEYS}")
