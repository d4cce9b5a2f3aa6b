"""Ports that are chosen before a server listens on them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from benchmarks import ports


def test_ports_are_free_distinct_and_never_given_out_by_the_kernel() -> None:
    chosen = ports.free_ports(20)
    assert len(set(chosen)) == 20
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in chosen:
        assert 1024 < port < first
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = ports.free_ports(1)
    draws = iter([taken, taken, taken + 1, taken + 2, taken + 3])
    monkeypatch.setattr(random.SystemRandom, "randint", lambda *_: next(draws))
    with socket.socket() as server:
        server.bind(("127.0.0.1", taken))
        (chosen,) = ports.free_ports(1)
    assert chosen > taken


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        ports.free_ports(1, "192.0.2.1")
