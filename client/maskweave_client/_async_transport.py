"""What is not the same with and without asyncio; `_sync_transport` has the same names for threads.

`_async/` is written against this module, and `_sync/` is generated from it. These two are written by hand,
because here more differs than `await`: grpc.aio binds a channel to the running event loop; it writes the
messages of a stream where grpc takes them from an iterator in a thread of its own; and the end of its streams
needs care.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import grpc

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client._channel import CLOSED, channel_options
from maskweave_client._errors import MaskweaveError, error_from_rpc
from maskweave_client._retry import Retry

Result = TypeVar("Result")

AsyncMethod: TypeAlias = Callable[..., Awaitable[Result]]
"""A method of the stub that gives one reply."""

AsyncChannel: TypeAlias = grpc.aio.Channel
AsyncStub: TypeAlias = "pb_grpc.SynthesisServiceAsyncStub"  # there for type checkers only
AsyncLock: TypeAlias = asyncio.Lock
AsyncRpcError: TypeAlias = grpc.aio.AioRpcError

_SESSION_CLOSED = "The painting was closed."
_LOST = "The session has ended, and gRPC does not tell why."

# How often, and after how long, to look whether the status of a call has come.
_STATUS_LOOKS = 20
_STATUS_PAUSE_SECONDS = 0.01


class AsyncTransport:
    """The channel of a client; it is made when it is first used, in the event loop that runs then.

    Attributes:
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        channel: AsyncChannel | None,
        retry: Retry | None,
    ) -> None:
        self.clock: Callable[[], float] = time.monotonic
        self._target, self._credentials, self._channel, self._retry = target, credentials, channel, retry
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._stub: pb_grpc.SynthesisServiceAsyncStub | None = None

    @property
    def stub(self) -> pb_grpc.SynthesisServiceAsyncStub:
        """The methods of the service.

        Raises:
            RuntimeError: No event loop runs, another one than before does, or the client is closed.
        """
        if self._closing.is_set():
            raise RuntimeError(CLOSED)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise RuntimeError(
                "AsyncClient: called where no event loop runs; call it in a coroutine, or use Client"
            ) from error
        if self._stub is None:
            self._loop, self._stub = loop, self._connected()
        elif self._loop is not loop:
            raise RuntimeError(
                "AsyncClient: called in another event loop than before; make a client for each event loop"
            )
        return self._stub

    async def pause(self, seconds: float) -> bool:
        """Wait; False when the client was closed meanwhile."""
        with suppress(asyncio.TimeoutError):  # builtin TimeoutError from 3.11 on
            await asyncio.wait_for(self._closing.wait(), seconds)
        return not self._closing.is_set()

    async def work(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Do what takes long where it holds nobody up."""
        return await asyncio.to_thread(function, *arguments)

    async def close(self) -> None:
        """Close the channel; calls in progress are cancelled."""
        self._closing.set()
        if self._channel is not None:
            await self._channel.close()

    def _connected(self) -> pb_grpc.SynthesisServiceAsyncStub:
        if self._channel is None:
            options = channel_options(self._target, self._retry)
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._target, options=options)
            else:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, options=options)
        stub: Any = pb_grpc.SynthesisServiceStub(self._channel)
        return stub  # type: ignore[no-any-return]


class AsyncPaintCall:
    """A call of Paint: messages go in and out independently. Cancelling a task that waits for it ends it."""

    def __init__(
        self, transport: AsyncTransport, timeout: float | None, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        self._cancelled = False
        self._ending: MaskweaveError | None = None
        self._call = transport.stub.Paint(timeout=timeout, metadata=metadata)
        self._call.add_done_callback(self._keep_ending)
        # Its iterator goes on reading when a message that crosses the end has made the call say it is done.
        self._messages = aiter(self._call)
        self._reading = asyncio.Lock()

    async def write(self, message: pb.PaintRequest) -> None:
        """Send a message.

        Raises:
            MaskweaveError: The call has ended.
        """
        async with self._translated():
            await self._call.write(message)

    async def finish(self) -> None:
        """Say that no more messages come."""
        await self._call.done_writing()

    async def read(self) -> pb.PaintResponse | None:
        """The next message; None at the end.

        Raises:
            MaskweaveError: The call has ended with a failure.
        """
        async with self._translated():
            message = await self._next()
        if message is None and self._ending is not None and self._ending.code is not grpc.StatusCode.OK:
            raise self._ending
        return message

    def cancel(self) -> None:
        """End the call at once."""
        self._cancelled = True
        self._call.cancel()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._failure() from error
        except asyncio.CancelledError as error:
            if not self._cancelled:
                raise
            # Not this task was cancelled but the call, by another one.
            raise error_from_rpc(grpc.StatusCode.CANCELLED, _SESSION_CLOSED, ()) from error

    async def _next(self) -> pb.PaintResponse | None:
        async with self._reading:
            return await anext(self._messages, None)

    async def _failure(self) -> MaskweaveError:
        """What the call has ended with."""
        with suppress(grpc.aio.AioRpcError):
            while self._ending is None and await self._next() is not None:
                pass  # the status comes behind all frames
        for _ in range(_STATUS_LOOKS):
            self._keep_ending(self._call)
            if self._ending is not None:
                return self._ending
            await asyncio.sleep(_STATUS_PAUSE_SECONDS)
        return error_from_rpc(grpc.StatusCode.INTERNAL, _LOST, ())

    def _keep_ending(self, call: Any) -> None:
        """Keep what the service has ended the call with, as soon as gRPC has it.

        A message that crosses the end of its call makes gRPC say INTERNAL, without a trailer, before the
        service's status or in its place (https://github.com/grpc/grpc/issues/36066).
        """
        code, details = _at_once(call.code()), _at_once(call.details())
        trailer = tuple(_at_once(call.trailing_metadata()) or ())
        if self._ending is None and (code is not grpc.StatusCode.INTERNAL or trailer):
            self._ending = error_from_rpc(code, details or "", trailer)


def _at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise RuntimeError("the call has ended, but its status is not there")
