"""TLS of the gRPC port, with certificates that are read anew without a restart.

gRPC asks for the certificate at every handshake; the files are looked at then. Connections that are up keep
the certificate they began with.
"""

from __future__ import annotations

import logging
import threading

import grpc

from service.app.certificates import TlsError, TlsFiles, TlsPair, read_pair
from service.app.files import stamp
from service.app.settings import Settings
from service.core.metrics import Metrics

_logger = logging.getLogger(__name__)


class Certificates:
    """The certificate of the gRPC server, as its files are at any time.

    Args:
        files: Where it is.
        metrics: Told of renewals and of when it expires.

    Raises:
        TlsError: It cannot be used.
    """

    def __init__(self, files: TlsFiles, metrics: Metrics) -> None:
        self._files = files
        self._metrics = metrics
        self._lock = threading.Lock()
        self._stamp = stamp(files.paths)
        self._first = read_pair(files)
        self._use(self._first)

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Certificates | None:
        """The certificate that the settings name; None when they ask for no TLS."""
        files = tls_files(settings)
        return None if files is None else cls(files, metrics)

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
            found = stamp(self._files.paths)
            if found == self._stamp:
                return None
            self._stamp = found
            try:
                pair = read_pair(self._files)
            except TlsError as error:
                self._metrics.reloaded("certificate", ok=False)
                _logger.error(
                    "the new certificate cannot be used, the one from before stays",
                    extra={"problem": str(error)},
                )
                return None
            self._metrics.reloaded("certificate", ok=True)
            _logger.info("certificate read anew", extra={"file": str(self._files.certificate)})
            self._use(pair)
            return _configuration(pair)

    def _use(self, pair: TlsPair) -> None:
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
