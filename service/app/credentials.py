"""The gateway's keys and certificate, each as its files are at any time: reloaded without a restart.

gRPC asks for the certificate at every handshake, and is given a new one once when the files have changed.
Connections that are up keep the certificate they began with.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc

from service.access.keys import Keys, KeysError, parse_keys
from service.app.certificates import TlsFiles, TlsPair, read_pair
from service.app.files import read_file, reloading, stamp
from service.app.settings import Settings
from service.core.metrics import Metrics
from service.rpc.access import Access

# About 16 000 keys.
_MAX_BYTES = 4 * 2**20

_logger = logging.getLogger(__name__)


def read_keys(file: Path) -> Keys:
    """Read a file of keys.

    Raises:
        KeysError: It cannot be read or used, or has no keys: a gateway that lets nobody in is a mistake.
    """
    try:
        keys = parse_keys(read_file(file, _MAX_BYTES).decode())
    except OSError as error:
        raise KeysError([f"api_keys_file {file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise KeysError([f"api_keys_file {file}: is not UTF-8"]) from None
    except KeysError as error:
        raise KeysError([f"api_keys_file {file}: {problem}" for problem in error.problems]) from None
    if not len(keys):
        raise KeysError([f"api_keys_file {file}: has no keys; make one with `maskweave key`"])
    return keys


@asynccontextmanager
async def followed_keys(file: Path, metrics: Metrics) -> AsyncIterator[Access]:
    """Let calls in by the keys in a file, as it is at any time inside this context.

    A file that cannot be used any more is logged, and the keys from before stay.

    Raises:
        KeysError: It cannot be used at the start.
    """
    known = stamp([file])
    keys = read_keys(file)
    access = Access(keys)
    _logger.info("keys read", extra={"keys": len(keys)})
    async with reloading("keys", [file], known, partial(read_keys, file), access.accept, metrics):
        yield access


class Certificates:
    """The certificate of the gRPC server, as its files are at any time inside `followed`.

    Args:
        files: Where it is.
        metrics: Told of reloads and of when it expires.

    Raises:
        TlsError: It cannot be used.
    """

    def __init__(self, files: TlsFiles, metrics: Metrics) -> None:
        self._files = files
        self._metrics = metrics
        self._lock = threading.Lock()
        self._new: grpc.ServerCertificateConfiguration | None = None
        self._known = stamp(files.paths)
        self._first = read_pair(files)
        self._look_at(self._first)

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Certificates | None:
        """The certificate that the settings name; None when they ask for no TLS."""
        files = tls_files(settings)
        return None if files is None else cls(files, metrics)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Take over changes of the files inside this context; files that cannot be used change nothing."""
        load = partial(read_pair, self._files)
        async with reloading("certificate", self._files.paths, self._known, load, self._use, self._metrics):
            yield

    def credentials(self) -> grpc.ServerCredentials:
        """For the server's port."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._first),
            self._fetch,  # type: ignore[arg-type] # its types lack None, which stands for no change
            self._files.client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificate for a handshake; None for the one before. Runs on gRPC's threads."""
        with self._lock:
            new, self._new = self._new, None
        return new

    def _use(self, pair: TlsPair) -> None:
        configuration = _configuration(pair)
        with self._lock:
            self._new = configuration
        self._look_at(pair)

    def _look_at(self, pair: TlsPair) -> None:
        self._metrics.certificate_expires(str(self._files.certificate), pair.expires)
        for warning in pair.warnings:
            _logger.warning("look at the certificate", extra={"problem": warning})


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files of the gRPC server's TLS; None when the settings ask for none."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def _configuration(pair: TlsPair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], pair.client_ca)
