"""Whether a certificate and its key can be used, found out before gRPC gets them: it says little when not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from service.app.files import read_file
from service.core.errors import ConfigurationError

_SOON = timedelta(days=14)
_MAX_BYTES = 2**20
_MIN_RSA_BITS = 2048

# What BoringSSL, which is in gRPC, takes: tried with gRPC 1.85 as server and client.
_CURVES = {"secp256r1", "secp384r1"}
_REFUSED_BY_GRPC_CLIENTS = {"secp521r1", "Ed25519PublicKey"}
_KEYS = "RSA, or an elliptic curve of NIST P-256 or P-384"


class TlsError(ConfigurationError):
    """A certificate, key or authority that cannot be used."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a server.

    Attributes:
        certificate: Its certificate, followed by those that lead to the authority.
        key: The certificate's private key.
        client_ca: The authorities of accepted client certificates; None when clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.certificate, self.key) + (() if self.client_ca is None else (self.client_ca,))


@dataclass(frozen=True, slots=True)
class TlsPair:
    """What the files hold, checked.

    Attributes:
        certificate: PEM of the certificate and its chain.
        key: PEM of the private key.
        client_ca: PEM of the authorities, or None.
        expires: When the certificate does, in seconds since 1970; 0 when clients refuse it as it is.
        warnings: What is usable but should be looked at.
        names: Whom the certificate is for, domain names first.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires: float
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "TlsPair(...)"  # never the key


def read_pair(files: TlsFiles) -> TlsPair:
    """Read and check a server's PEM files.

    Raises:
        TlsError: They cannot be read, are not PEM, do not belong together, or the key is encrypted.
    """
    certificate = _read("tls_certificate", files.certificate)
    key = _read("tls_key", files.key)
    client_ca = None if files.client_ca is None else _read("tls_client_ca", files.client_ca)
    chain = _certificates(f"tls_certificate {files.certificate}", certificate)
    warnings: list[str] = []
    if files.client_ca is not None and client_ca is not None:
        where = f"tls_client_ca {files.client_ca}"
        warnings += _of_authorities(where, _certificates(where, client_ca))
    _check_key(f"tls_key {files.key}", key, chain[0], files.certificate)
    where = f"tls_certificate {files.certificate}"
    refusals = list(_refusals(chain))
    expires = chain[0].not_valid_after_utc
    warnings += [f"{where}: clients will refuse it: {reason}" for reason in refusals]
    warnings += [f"{where}: {doubt}" for doubt in _key_doubts(where, chain[0])]
    if not refusals and expires < datetime.now(UTC) + _SOON:
        warnings.append(f"{where}: expires on {expires:%Y-%m-%d %H:%M} UTC")
    return TlsPair(
        certificate,
        key,
        client_ca,
        0.0 if refusals else expires.timestamp(),
        tuple(warnings),
        certificate_names(chain[0]),
    )


def parse_certificates(content: bytes) -> Sequence[x509.Certificate]:
    """The certificates of a PEM file, at least one.

    Raises:
        ValueError: There is none, or one is malformed.
    """
    return x509.load_pem_x509_certificates(content)


def parse_key(content: bytes, certificate: x509.Certificate) -> PrivateKeyTypes:
    """The private key of a PEM file, which is that of a certificate.

    Raises:
        ValueError: It has no key, a malformed or encrypted one, or that of another certificate; the text says
            which, as the end of a sentence about the file.
    """
    if b"PRIVATE KEY-----" not in content:
        raise ValueError("has no private key in PEM form")
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise ValueError("is encrypted; allowed: a key that needs no password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("cannot be used: it is malformed, or of a kind that is not known") from None
    if key.public_key() != certificate.public_key():
        raise ValueError("does not belong to the certificate")
    return key


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Whom a certificate is for: domain names, then addresses; its common name where it lists neither."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        pass
    else:
        names = alternative.get_values_for_type(x509.DNSName)
        addresses = map(str, alternative.get_values_for_type(x509.IPAddress))
        if found := (*names, *addresses):
            return found
    return tuple(str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def _read(setting: str, file: Path) -> bytes:
    try:
        return read_file(file, _MAX_BYTES)
    except OSError as error:
        raise TlsError([f"{setting} {file}: cannot be read: {error.strerror}"]) from None


def _certificates(where: str, content: bytes) -> Sequence[x509.Certificate]:
    try:
        found = parse_certificates(content)
        for each in found:
            each.public_key(), each.extensions  # parsed only when they are looked at
    except (ValueError, UnsupportedAlgorithm):
        if b"-----BEGIN CERTIFICATE-----" in content:
            raise TlsError([f"{where}: has a malformed certificate"]) from None
        raise TlsError([f"{where}: has no certificate in PEM form"]) from None
    return found


def _check_key(where: str, content: bytes, certificate: x509.Certificate, file: Path) -> None:
    try:
        parse_key(content, certificate)
    except ValueError as error:
        problem = str(error)
        of_file = f" in {file}" if problem.endswith("the certificate") else ""
        raise TlsError([f"{where}: {problem}{of_file}"]) from None


def _refusals(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    """Why clients do not accept a server that shows this chain, whatever authorities they trust."""
    now = datetime.now(UTC)
    for number, each in enumerate(chain):
        which = "certificate" if number == 0 else f"certificate {number + 1} of the chain"
        if each.not_valid_after_utc <= now:
            yield f"{which} has expired"
        if each.not_valid_before_utc > now:
            yield f"{which} is not yet valid, only from {each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        yield "its extended key usage does not include servers"


def _key_doubts(where: str, certificate: x509.Certificate) -> Iterator[str]:
    """What some clients do not accept of the certificate's kind of key.

    Raises:
        TlsError: gRPC's own TLS does not know it.
    """
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            yield f"many clients refuse an RSA key of {key.key_size} bits; better: {_MIN_RSA_BITS} or more"
        return
    name = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    if name in _REFUSED_BY_GRPC_CLIENTS:
        yield f"clients that use gRPC's own TLS refuse its kind of key ({name}); better: {_KEYS}"
    elif name not in _CURVES:
        raise TlsError([f"{where}: has a key of a kind that gRPC cannot use ({name}); allowed: {_KEYS}"])


def _of_authorities(where: str, authorities: Sequence[x509.Certificate]) -> Iterator[str]:
    now = datetime.now(UTC)
    for each in authorities:
        if each.not_valid_after_utc <= now:
            yield f"{where}: {each.subject.rfc4514_string()} has expired, and with it all that it issued"
