"""Certificates made by the real tool: what is told of those that cannot be used, or not for long."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app.certificates import TlsError, TlsFiles, read_pair
from tests.support.certificates import Authority, encrypt_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    pair = authority.issue("server")
    return TlsFiles(pair.certificate, pair.key, authority.certificate)


def test_a_good_pair_is_read_whole(files: TlsFiles) -> None:
    pair = read_pair(files)
    assert pair.certificate == files.certificate.read_bytes()
    assert pair.key == files.key.read_bytes()
    assert pair.client_ca is not None
    assert pair.warnings == ()
    assert "PRIVATE" not in repr(pair)


def test_a_chain_with_comments_is_a_certificate(
    files: TlsFiles, authority: Authority, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_text(f"# für uns\n{files.certificate.read_text()}{authority.certificate.read_text()}")
    assert read_pair(replace(files, certificate=chain)).warnings == ()


def test_one_that_ends_soon_is_warned_of(authority: Authority) -> None:
    pair = authority.issue("short", days=3)
    (warning,) = read_pair(TlsFiles(pair.certificate, pair.key)).warnings
    assert "short.crt: expires on " in warning


def test_one_that_has_ended_is_warned_of(authority: Authority) -> None:
    pair = authority.issue("ended", days=-1)
    (warning,) = read_pair(TlsFiles(pair.certificate, pair.key)).warnings
    assert read_pair(TlsFiles(pair.certificate, pair.key)).expires == 0
    assert "ended.crt: clients will refuse it: certificate has expired" in warning


def test_what_cannot_be_used_is_told_by_file(files: TlsFiles, authority: Authority, tmp_path: Path) -> None:
    encrypted, text, empty, cut = (tmp_path / name for name in ("encrypted.key", "text", "empty", "cut.key"))
    encrypt_key(files.key, encrypted)
    text.write_text("hello")
    empty.touch()
    cut.write_text(files.key.read_text()[:60])
    cases = {
        f"tls_key {encrypted}: is encrypted": replace(files, key=encrypted),
        f"tls_key {text}: has no private key": replace(files, key=text),
        f"tls_key {cut}: cannot be used": replace(files, key=cut),
        f"tls_key {tmp_path / 'absent'}: cannot be read: No such file": replace(
            files, key=tmp_path / "absent"
        ),
        f"tls_key {authority.pair.key}: does not belong": replace(files, key=authority.pair.key),
        f"tls_certificate {text}: has no certificate": replace(files, certificate=text),
        f"tls_certificate {files.key}: has no certificate": replace(files, certificate=files.key),
        f"tls_client_ca {empty}: has no certificate": replace(files, client_ca=empty),
    }
    for told, case in cases.items():
        with pytest.raises(TlsError) as caught:
            read_pair(case)
        assert str(caught.value).startswith(told)


def made(
    directory: Path,
    key: Any = None,
    *,
    days: tuple[float, float] = (-1, 30),
    usage: x509.ObjectIdentifier | None = None,
    names: tuple[x509.GeneralName, ...] = (x509.DNSName("localhost"),),
) -> TlsFiles:
    """The files of a certificate that signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "itself")])
    begin, end = (datetime.now(UTC) + timedelta(days=day) for day in days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(end)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    unhashed = isinstance(key, ed25519.Ed25519PrivateKey)
    certificate = builder.sign(key, None if unhashed else hashes.SHA256())
    files = TlsFiles(directory / "made.crt", directory / "made.key")
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_what_clients_will_refuse_is_warned_of(tmp_path: Path) -> None:
    for told, options in {
        "clients will refuse it: certificate is not yet valid, only from 20": {"days": (1, 30)},
        "clients will refuse it: certificate has expired": {"days": (-9, -1)},
        "its extended key usage does not include servers": {"usage": ExtendedKeyUsageOID.CLIENT_AUTH},
    }.items():
        pair = read_pair(made(tmp_path, **options))  # type: ignore[arg-type]
        assert pair.expires == 0
        (warning,) = pair.warnings
        assert told in warning


@pytest.mark.parametrize(
    "usage", [None, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
)
def test_what_is_for_servers_is_fine(tmp_path: Path, usage: x509.ObjectIdentifier | None) -> None:
    pair = read_pair(made(tmp_path, usage=usage))
    assert pair.warnings == ()
    assert 29 < (pair.expires - datetime.now(UTC).timestamp()) / 86_400 < 30


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), ()),
        (lambda: rsa.generate_private_key(65537, 2048), ()),
        (lambda: rsa.generate_private_key(65537, 1024), ("many clients refuse an RSA key of 1024 bits",)),
        (lambda: ec.generate_private_key(ec.SECP521R1()), ("gRPC's own TLS refuse",)),
        (ed25519.Ed25519PrivateKey.generate, ("gRPC's own TLS refuse",)),
    ],
    ids=["P-384", "RSA", "small RSA", "P-521", "Ed25519"],
)
def test_kinds_of_keys_that_some_clients_refuse_are_warned_of(
    tmp_path: Path, key: Any, told: tuple[str, ...]
) -> None:
    warnings = read_pair(made(tmp_path, key())).warnings
    assert len(warnings) == len(told)
    assert all(text in warning for text, warning in zip(told, warnings, strict=True))


@pytest.mark.parametrize(
    "key",
    [
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.SECP224R1()),
        lambda: dsa.generate_private_key(1024),
    ],
    ids=["secp256k1", "P-224", "DSA"],
)
def test_kinds_of_keys_that_grpc_cannot_use_are_refused(tmp_path: Path, key: Any) -> None:
    with pytest.raises(TlsError, match=r"a kind that gRPC cannot use .* allowed: RSA, or an elliptic curve"):
        read_pair(made(tmp_path, key()))


def test_names_are_domains_then_addresses_else_the_common_name(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("named", names="IP:::1,DNS:b.example,DNS:*.a.example")
    assert read_pair(TlsFiles(pair.certificate, pair.key)).names == ("b.example", "*.a.example", "::1")
    assert read_pair(made(tmp_path, names=())).names == ("itself",)


def test_an_authority_that_has_expired_is_warned_of(files: TlsFiles, tmp_path: Path) -> None:
    expired = made(tmp_path, days=(-9, -1)).certificate
    (warning,) = read_pair(replace(files, client_ca=expired)).warnings
    assert warning == f"tls_client_ca {expired}: CN=itself has expired, and with it all that it issued"


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_read_or_refused(files: TlsFiles, tmp_path: Path, data: st.DataObject) -> None:
    damaged = {}
    for field in ("certificate", "key", "client_ca"):
        path = getattr(files, field)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        damaged[field] = tmp_path / path.name
        damaged[field].write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(TlsError):
        read_pair(TlsFiles(**damaged))
