"""What gRPC's own log lines are let through."""

from __future__ import annotations

import logging

import grpc.aio
import pytest

import service.app.server  # noqa: F401 - sets the filter

GRPC = logging.getLogger("grpc._cython.cygrpc")


@pytest.mark.parametrize(("error", "lines"), [(grpc.aio.InternalError("gone"), 0), (RuntimeError("bug"), 1)])
def test_answers_to_callers_who_have_gone_are_no_failures(
    error: Exception, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    GRPC.error("Unexpected error raised by servicer method", exc_info=error)
    assert len(caplog.records) == lines
