"""Certificates made by the real tool: what is told of those that cannot be used, or not for long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

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
