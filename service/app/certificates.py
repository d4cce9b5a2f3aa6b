"""Whether a certificate and its key can be used, found out before gRPC gets them: it says little when not.

The standard library has no parser of certificates, but it has TLS: a handshake in memory, with a client that
trusts this one certificate, tells what a real client would say.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.core.errors import ConfigurationError

_SOON_DAYS = 14
_DAY_SECONDS = 86_400


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
        names: Whom the certificate is for, domain names first; empty when clients refuse it as it is.
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
    with ExitStack() as stack:
        certificate_path = stack.enter_context(_in_memory(certificate))
        key_path = stack.enter_context(_in_memory(key))
        client = _trusting("tls_certificate", files.certificate, certificate_path)
        if client_ca is not None:
            _trusting("tls_client_ca", files.client_ca, stack.enter_context(_in_memory(client_ca)))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # An encrypted key would otherwise ask for its password on the terminal.
            server.load_cert_chain(certificate_path, key_path, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise TlsError([_key_problem(files, key, error)]) from None
        expires, names, warning = _trial(files.certificate, client, server)
    return TlsPair(certificate, key, client_ca, expires, (warning,) if warning else (), names)


def _read(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError([f"{setting} {file}: cannot be read: {error.strerror}"]) from None


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path to these very bytes: the files may change between one reading and the next."""
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _trusting(setting: str, file: Path | None, path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise TlsError([f"{setting} {file}: has no certificate in PEM form"]) from None
    return context


def _key_problem(files: TlsFiles, key: bytes, error: Exception) -> str:
    where = f"tls_key {files.key}"
    if b"ENCRYPTED" in key:
        return f"{where}: is encrypted; allowed: a key that needs no password"
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return f"{where}: does not belong to the certificate in {files.certificate}"
    if b"PRIVATE KEY-----" not in key:
        return f"{where}: has no private key in PEM form"
    return f"{where}: cannot be used with {files.certificate}: {reason or 'it is malformed'}"


def _trial(
    file: Path, client: ssl.SSLContext, server: ssl.SSLContext
) -> tuple[float, tuple[str, ...], str | None]:
    """When the certificate expires, 0 when the client refuses it, for whom it is, and a warning."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    try:
        for end in ends * 2:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return 0.0, (), f"tls_certificate {file}: clients will refuse it: {error.verify_message}"
    except ssl.SSLError as error:
        return 0.0, (), f"tls_certificate {file}: a trial handshake failed: {error.reason}"
    # The client has verified it, so it is there, and certificates always have this field.
    fields: Mapping[str, Any] = ends[0].getpeercert() or {}
    date = str(fields["notAfter"])
    expires = float(ssl.cert_time_to_seconds(date))
    soon = expires < time.time() + _SOON_DAYS * _DAY_SECONDS
    return expires, _names(fields), f"tls_certificate {file}: expires on {date}" if soon else None


def _names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom a certificate is for, from what `getpeercert` tells: domains, addresses, else its subject."""
    alternative = fields.get("subjectAltName", ())
    names = tuple(name for kind in ("DNS", "IP Address") for found, name in alternative if found == kind)
    subject = (field for fields_at_once in fields.get("subject", ()) for field in fields_at_once)
    return names or tuple(value for name, value in subject if name == "commonName")
