"""What is not the same with and without asyncio: `_async_transport` for threads, with the same names."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import grpc

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client._channel import CLOSED, channel_options
from maskweave_client._errors import failure_of
from maskweave_client._retry import Retry

Result = TypeVar("Result")

SyncMethod: TypeAlias = Callable[..., Result]
"""A method of the stub that gives one reply."""

SyncChannel: TypeAlias = grpc.Channel
SyncStub: TypeAlias = pb_grpc.SynthesisServiceStub
SyncLock = threading.Lock
SyncRpcError: TypeAlias = grpc.RpcError


class SyncTransport:
    """The channel of a client.

    Attributes:
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        channel: SyncChannel | None,
        retry: Retry | None,
    ) -> None:
        self.clock: Callable[[], float] = time.monotonic
        if channel is None:
            options = channel_options(target, retry)
            if credentials is None:
                channel = grpc.insecure_channel(target, options=options)
            else:
                channel = grpc.secure_channel(target, credentials, options=options)
        self._channel = channel
        self._closing = threading.Event()
        self._stub = pb_grpc.SynthesisServiceStub(channel)

    @property
    def stub(self) -> pb_grpc.SynthesisServiceStub:
        """The methods of the service.

        Raises:
            RuntimeError: The client is closed.
        """
        if self._closing.is_set():
            raise RuntimeError(CLOSED)
        return self._stub

    def pause(self, seconds: float) -> bool:
        """Wait; False when the client was closed meanwhile."""
        return not self._closing.wait(seconds)

    def work(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Do what takes long."""
        return function(*arguments)

    def close(self) -> None:
        """Close the channel; calls in progress are cancelled."""
        self._closing.set()
        self._channel.close()


class SyncPaintCall:
    """A call of Paint: messages go in and out independently, from different threads if need be."""

    def __init__(
        self, transport: SyncTransport, timeout: float | None, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        self._requests: queue.SimpleQueue[pb.PaintRequest | None] = queue.SimpleQueue()
        requests = iter(self._requests.get, None)
        self._call = transport.stub.Paint(requests, timeout=timeout, metadata=metadata)

    def write(self, message: pb.PaintRequest) -> None:
        """Send a message.

        Raises:
            MaskweaveError: The call has ended.
        """
        if not self._call.is_active():
            raise failure_of(self._call)
        self._requests.put(message)

    def finish(self) -> None:
        """Say that no more messages come."""
        self._requests.put(None)

    def read(self) -> pb.PaintResponse | None:
        """The next message; None at the end.

        Raises:
            MaskweaveError: The call has ended with a failure.
        """
        try:
            return next(self._call, None)
        except grpc.RpcError as error:
            self.finish()  # so that gRPC's thread that takes the messages ends
            raise failure_of(error) from error

    def cancel(self) -> None:
        """End the call at once."""
        self.finish()
        self._call.cancel()
