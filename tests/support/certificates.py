"""Certificates as operators make them: with the `openssl` command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def move_over(self, other: Pair) -> None:
        """Take the place of another pair: first the certificate, then the key, each at once."""
        for ours, theirs in ((self.certificate, other.certificate), (self.key, other.key)):
            copy = theirs.with_suffix(".new")
            copy.write_bytes(ours.read_bytes())
            copy.replace(theirs)


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
        _openssl("req", "-x509", "-days", "30", *_new(self.pair.key, name), "-out", self.pair.certificate)

    @property
    def certificate(self) -> Path:
        """What others trust."""
        return self.pair.certificate

    def issue(self, name: str, *, days: int = 30, names: str = "DNS:localhost,IP:127.0.0.1") -> Pair:
        """A certificate for servers and clients, for this machine unless other names are given."""
        return self._issue(name, days, f"subjectAltName={names}\n", _new)

    def issue_signing(self, name: str, *, days: int = 30, key: tuple[object, ...] = ()) -> Pair:
        """A certificate for signing images, and its chain; `key` are openssl's options for a kind of key."""
        usage = "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n"
        pair = self._issue(name, days, usage, partial(_new, kind=key or _EC))
        with pair.certificate.open("ab") as file:
            file.write(self.certificate.read_bytes())
        return pair

    def _issue(
        self, name: str, days: int, extension_lines: str, new: Callable[[Path, str], tuple[object, ...]]
    ) -> Pair:
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(extension_lines)
        _openssl("req", *new(pair.key, name), "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-days", days, "-extfile", extensions),
            *("-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial"),
            *("-out", pair.certificate),
        )
        return pair


def encrypt_key(key: Path, to: Path) -> None:
    """Write a key with a password on it."""
    _openssl("pkcs8", "-topk8", "-in", key, "-out", to, "-passout", "pass:word")


_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _new(key: Path, name: str, kind: tuple[object, ...] = _EC) -> tuple[object, ...]:
    return (*kind, "-nodes", "-keyout", key, "-subj", f"/O=Example/CN={name}")


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
