"""One call in progress: its request comes in here, and its answers go out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import grpc

from service.core.errors import DeadlineExceeded, InvalidArgument, MessageTooLarge
from service.core.metrics import MethodMetrics
from service.rpc.admission import PendingMessages
from service.rpc.memory import HeldMemory
from service.rpc.parsing import Request, parsed
from service.synthesis.requests import CallContext

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Call(CallContext):
    """One call in progress.

    Attributes:
        started: `time.perf_counter()` at its arrival.
        channel: Its gRPC context.
        pending: Gives places to those who wait for a request.
        message_seconds: Time within which its request must have arrived.
        message_bytes: Largest message that it takes.
        memory: What its request holds.
        in_hand: What the latest message of a session holds, in bytes, until the session says otherwise.
        permit: Called before work of a session; raises what forbids its caller to go on.
        key_id: The id of the key that it came with; empty where authentication is disabled.
        metrics: Counts its messages.
        joined: Whether its one reply goes out together with its status: a hand-over to gRPC less.
        reply: That reply, once it is there.
        received_bytes: Of the messages that came.
        sent_bytes: Of the messages that went out.
    """

    started: float = field(kw_only=True)
    channel: Context = field(kw_only=True, repr=False)
    pending: PendingMessages | None = field(kw_only=True, default=None, repr=False)
    message_seconds: float = field(kw_only=True, default=math.inf)
    message_bytes: int | None = field(kw_only=True, default=None, repr=False)
    memory: HeldMemory | None = field(kw_only=True, default=None, repr=False)
    in_hand: int = field(kw_only=True, default=0, repr=False)
    permit: Callable[[], None] = field(kw_only=True, default=lambda: None, repr=False)
    key_id: str = field(kw_only=True, default="")
    metrics: MethodMetrics | None = field(kw_only=True, default=None, repr=False)
    joined: bool = field(init=False, default=False)
    reply: bytes | None = field(init=False, default=None, repr=False)
    received_bytes: int = field(init=False, default=0)
    sent_bytes: int = field(init=False, default=0)

    @property
    def elapsed_seconds(self) -> float:
        """Time since its arrival; may be asked for on any thread."""
        return time.perf_counter() - self.started

    async def receive(self, request_type: type[Request], *, within: float) -> Request | None:
        """The next message; None when there will be none.

        Args:
            request_type: Its type.
            within: Seconds to wait for it.

        Raises:
            TimeoutError: It has not come.
            InvalidArgument: It is not a message of the type, or has too many fields.
            MessageTooLarge: It is too large.
            Overloaded: Requests in progress hold too much already.
        """
        if math.isfinite(within):
            async with asyncio.timeout(within):
                data = await self.channel.read()
        else:
            data = await self.channel.read()
        if data is grpc.aio.EOF:
            return None
        self.received_bytes += len(data)
        if self.metrics is not None:
            self.metrics.received(len(data))
        if self.message_bytes is not None and len(data) > self.message_bytes:
            raise MessageTooLarge(self.message_bytes)
        return await parsed(request_type, data, self._take)

    async def request(self, request_type: type[Request]) -> Request:
        """The request of a method that takes one.

        Raises:
            DeadlineExceeded: It has not arrived in time.
            InvalidArgument: There is none, or it is not of the type.
            Overloaded: Requests in progress hold too much already.
        """
        try:
            async with (
                asyncio.timeout(self.message_seconds),  # the wait for a place included
                self.pending.place(self.caller) if self.pending else nullcontext(),
            ):
                message = await self.receive(request_type, within=math.inf)
        except TimeoutError:
            raise DeadlineExceeded(
                f"The request has not arrived within {self.message_seconds:g} s."
            ) from None
        if message is None:
            raise InvalidArgument("(message)", "no message", f"a {request_type.DESCRIPTOR.full_name}")
        return message

    def _take(self, size: int) -> None:
        self.in_hand = size
        if self.memory is not None:
            self.memory.take(size)

    async def send(self, message: bytes) -> None:
        """Send a message; returns when the connection has taken it, or at once where it goes with the status.

        Raises:
            CancelledError: There is nobody to send it to any more.
        """
        if self.joined:
            self.reply = message
        else:
            await self._write(message)
            self.sent(message)

    def sent(self, message: bytes) -> None:
        """Count a message that goes out."""
        self.sent_bytes += len(message)
        if self.metrics is not None:
            self.metrics.sent(len(message))

    async def _write(self, message: bytes) -> None:
        try:
            await self.channel.write(message)
        except grpc.aio.InternalError:
            # The caller has gone, and this write heard of it before gRPC cancelled the call.
            raise asyncio.CancelledError from None


Behaviour = Callable[[Call], Awaitable[None]]
"""Answers a call: receives, sends, and raises what it fails with."""


def taking(request_type: type[Request], method: Callable[[Call, Request], Awaitable[None]]) -> Behaviour:
    """What answers a call, of a method that takes one request: receives it, and hands it to the method."""

    async def behaviour(call: Call) -> None:
        await method(call, await call.request(request_type))

    return behaviour
