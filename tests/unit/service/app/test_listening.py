"""The forms of addresses to listen on, and sockets that are in the way of others."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app.listening import ListenError, address_text, check_socket, checked_host, is_local


@pytest.mark.parametrize(
    ("given_host", "host", "address", "local"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:1", True),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0:1", False),
        ("localhost", "localhost", "localhost:1", True),
        ("gateway.example", "gateway.example", "gateway.example:1", False),
        ("::1", "::1", "[::1]:1", True),
        ("[::1]", "::1", "[::1]:1", True),
        ("[::]", "::", "[::]:1", False),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:1", False),
        ("unix:/run/m.sock", "unix:/run/m.sock", "unix:/run/m.sock", True),
        ("unix:///run/m.sock", "unix:/run/m.sock", "unix:/run/m.sock", True),
        ("unix:/" + "x" * 106, "unix:/" + "x" * 106, "unix:/" + "x" * 106, True),
    ],
)
def test_a_host_is_taken_in_every_usual_form(given_host: str, host: str, address: str, local: bool) -> None:
    assert checked_host(given_host, unix=True) == host
    assert address_text(host, 1) == address
    assert is_local(host) == local


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("", "got ''; allowed: an address or a name"),
        ("[::1]:50051", "which has a port"),
        ("127.0.0.1:50051", "which has a port"),
        ("localhost:50051", "which has a port"),
        ("[127.0.0.1]", r"got '\[127.0.0.1\]'; allowed"),
        ("[::1", "allowed: an address or a name"),
        ("300.1.1.1", "allowed: an address or a name"),
        ("https://gateway", "allowed: an address or a name"),
        ("dns:///gateway", "allowed: an address or a name"),
        ("a b", "allowed: an address or a name"),
        ("unix:", "with a full path"),
        ("unix:maskweave.sock", "with a full path"),
        ("unix:/run/", "with a full path"),
        ("unix:///", "with a full path"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
        ("unix-abstract:maskweave", "abstract sockets have no permissions"),
    ],
)
def test_what_is_no_host_is_refused_for_what_it_is(host: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        checked_host(host, unix=True)


def test_http_has_no_unix_socket() -> None:
    with pytest.raises(ValueError, match=r"a Unix socket; allowed: an address or a name without a port$"):
        checked_host("unix:/run/m.sock", unix=False)


@given(st.text(max_size=120) | st.text(max_size=120).map("unix:".__add__), st.booleans())
def test_any_text_is_a_host_or_refused_and_a_checked_host_stays(text: str, unix: bool) -> None:
    with suppress(ValueError):
        host = checked_host(text, unix=unix)
        assert checked_host(host, unix=unix) == host
        assert not host.startswith("[")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sock"


def refusal(path: Path) -> str:
    with pytest.raises(ListenError) as caught:
        check_socket(f"unix:{path}")
    return str(caught.value)


def test_a_free_path_and_other_hosts_are_fine(path: Path) -> None:
    check_socket(f"unix:{path}")
    check_socket("127.0.0.1")


def test_a_socket_that_nobody_listens_on_is_fine(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    check_socket(f"unix:{path}")


def test_a_socket_that_is_in_use_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "another process listens on it; choose another with --grpc-host" in refusal(path)


@pytest.mark.parametrize("kind", ["file", "directory", "pipe", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    make: dict[str, Callable[[], object]] = {
        "file": path.touch,
        "directory": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to("elsewhere"),
    }
    make[kind]()
    assert "not a socket" in refusal(path)


def test_a_missing_directory_is_named(path: Path) -> None:
    assert f"no directory {path.parent / 'absent'}" in refusal(path.parent / "absent" / "m.sock")
    path.touch()
    assert "Not a directory" in refusal(path / "m.sock")
