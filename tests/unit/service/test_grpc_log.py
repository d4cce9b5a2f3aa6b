"""What gRPC's own log lines are let through."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import grpc.aio
import pytest

import service.app.server  # noqa: F401 - sets the filter
from tests.support import http2

GRPC = logging.getLogger("grpc._cython.cygrpc")


@pytest.mark.parametrize(("error", "lines"), [(grpc.aio.InternalError("gone"), 0), (RuntimeError("bug"), 1)])
def test_answers_to_callers_who_have_gone_are_no_failures(
    error: Exception, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    GRPC.error("Unexpected error raised by servicer method", exc_info=error)
    assert len(caplog.records) == lines


async def test_headers_that_are_no_text_write_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has no key could send any number of them, 8 KiB each."""
    seen: list[object] = []

    class Interceptor(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: object, details: grpc.HandlerCallDetails) -> None:
            seen.append(dict(details.invocation_metadata or ())["x-odd"])

    server = grpc.aio.server(interceptors=(Interceptor(),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("none", {}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    call = http2.call(1, b"", extra=[("x-odd", "vvvv")]).replace(b"vvvv", b"v\xff\xfe\x90")
    writer.write(http2.PREFACE + http2.settings() + call)
    async with asyncio.timeout(30):
        while not seen:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await server.stop(None)
    assert seen == ["v\xff\xfe\x90"]
    assert not caplog.records
