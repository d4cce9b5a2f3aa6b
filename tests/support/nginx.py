"""A real nginx with the configuration of the documentation, in front of a gateway."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ports import free_ports
from tests.support.certificates import Authority
from tests.support.gateway_process import GatewayProcess, wait_until

_MAIN = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
access_log off;
{paths}
{page}
}}
"""
_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(text: str, gateway: GatewayProcess, authority: Authority, folder: Path) -> Iterator[int]:
    """Runs it with what a page shows, but on another port, with its files in a folder. Gives the port.

    Args:
        text: Server blocks that listen on 443, with certificates in /etc/nginx, before the default ports.
        gateway: What it is put in front of.
        authority: Issues its certificate.
        folder: An empty one.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program, "make environments installs it"
    pair = authority.issue("tls", names="DNS:paint.example.com,DNS:rpc.example.com")
    shutil.copy(pair.certificate, folder / "tls.crt")
    shutil.copy(pair.key, folder / "tls.key")
    (port,) = free_ports(1)
    for shown, ours in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/nginx/", f"{folder}/"),
        ("http://127.0.0.1:8080", gateway.http),
        ("127.0.0.1:50051", gateway.address),
    ):
        assert shown in text
        text = text.replace(shown, ours)
    paths = "\n".join(f"{name}_temp_path {folder}/{name};" for name in _PATHS)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, paths=paths, page=text))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    log = folder / "log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: process.poll() is not None or _is_up(port), log.read_text)
            assert process.poll() is None, log.read_text()
            yield port
        finally:
            process.terminate()


def _is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
