"""Descriptors are divided between the ports, and some are left for other things."""

from __future__ import annotations

import resource

import pytest

from service.app.descriptors import MOST, MOST_HTTP, connection_limits


@pytest.mark.parametrize(
    ("limit", "grpc", "http"),
    [
        (resource.RLIM_INFINITY, MOST, MOST_HTTP),
        (2**20, MOST, MOST_HTTP),
        (1024, 704, 256),
        (160, 80, 40),
        (1, 1, 1),
    ],
)
def test_connections_leave_descriptors_for_other_things(
    monkeypatch: pytest.MonkeyPatch, limit: int, grpc: int, http: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert connection_limits() == (grpc, http)
    assert limit < 2 or limit - grpc - http >= min(64, limit // 4)
