"""Certificates as operators make them: with the `openssl` command."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
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
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        _openssl("req", *_new(pair.key, name), "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-days", days, "-extfile", extensions),
            *("-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial"),
            *("-out", pair.certificate),
        )
        return pair


def encrypt_key(key: Path, to: Path) -> None:
    """Write a key with a password on it."""
    _openssl("pkcs8", "-topk8", "-in", key, "-out", to, "-passout", "pass:word")


def _new(key: Path, name: str) -> tuple[object, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", key, "-subj", f"/CN={name}")


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
