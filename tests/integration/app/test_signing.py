"""Certificates for images, made by the real tool: which can sign, and what is told of those that cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.app.signing import SigningCertificateError, SigningFiles, read_signing_certificate
from service.codecs import content_credentials
from tests.support.certificates import Authority, Pair

KINDS: dict[str, tuple[object, ...]] = {
    "P-256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "P-384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"),
    "P-521": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"),
    "Ed25519": ("-newkey", "ed25519"),
    "RSA": ("-newkey", "rsa:2048"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def signer(authority: Authority) -> Pair:
    return authority.issue_signing("signer")


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(SigningCertificateError) as caught:
        read_signing_certificate(SigningFiles(certificate, key))
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_that_c2pa_allows(authority: Authority, kind: str) -> None:
    pair = authority.issue_signing(kind, key=KINDS[kind])
    read = read_signing_certificate(SigningFiles(pair.certificate, pair.key))
    assert read.warnings == ()
    assert read.expires > 0


def test_one_that_ends_soon_is_warned_of(authority: Authority) -> None:
    pair = authority.issue_signing("short", days=3)
    (warning,) = read_signing_certificate(SigningFiles(pair.certificate, pair.key)).warnings
    assert "short.crt: expires on " in warning


def test_what_cannot_sign_is_told_by_file(authority: Authority, signer: Pair, tmp_path: Path) -> None:
    server, other = authority.issue("server"), authority.issue_signing("other")
    koblitz = Pair(tmp_path / "koblitz.crt", tmp_path / "koblitz.key")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes", "-subj", "/CN=koblitz")
    files = ("-keyout", koblitz.key, "-out", koblitz.certificate)
    command = ["openssl", "req", "-x509", *curve, *map(str, files)]
    subprocess.run(command, check=True, capture_output=True)
    cases = {
        (server.certificate, server.key): "server.crt: cannot be used for signing: ",
        (signer.certificate, other.key): "other.key: does not belong to the certificate",
        (signer.key, signer.key): "signer.key: has no certificate in PEM form",
        (signer.certificate, signer.certificate): "signer.crt: has no private key in PEM form",
        (tmp_path / "absent", signer.key): "absent: cannot be read: No such file",
        (koblitz.certificate, koblitz.key): "a kind that C2PA does not allow; allowed: an elliptic curve",
    }
    for pair, message in cases.items():
        assert message in refusal(*pair)


def test_without_the_extra_it_is_told_what_to_install(signer: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert "the extra c2pa brings it" in refusal(signer.certificate, signer.key)


def test_serving_without_signing_never_loads_the_library() -> None:
    code = f"import sys, service.app.gateway, {content_credentials.__name__}; sys.exit('c2pa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
