"""The calls that ask a service: one reply, a stream of replies, a session of Paint. Bytes in, samples out."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench.loops import Clock
from maskweave_bench.messages import Update
from maskweave_bench.requests import Mix, Prepared
from maskweave_bench.samples import OK, SKIPPED_LATE, Sample
from maskweave_bench.stages import STAGE, STAGE_QUEUE, TOTAL
from maskweave_bench.target import Target

_DETAILS = "grpc-status-details-bin"
_CONNECT_SECONDS = 15.0


class ConnectError(RuntimeError):
    """A target cannot be reached."""


@dataclass(slots=True)
class _Pending:
    """An update of a painting that no frame has shown yet."""

    sequence: int
    due: float
    sent: float


class Caller:
    """Calls to a target.

    Args:
        target: What is called; its channels belong to the running event loop.
        mix: What is asked.
        first_seed: Of the load.
        max_lag: Seconds by which an update of a painting may be sent late.
    """

    def __init__(self, target: Target, mix: Mix, *, first_seed: int, max_lag: float) -> None:
        self._mix = mix
        self._first_seed = first_seed
        self._max_lag = max_lag
        self._metadata = target.metadata()
        self._channels = target.channels()
        self._addresses = target.addresses
        # Without serializers: bytes go out as they were prepared, and replies are read after the clock.
        kinds = {"unary": "unary_unary", "stream": "unary_stream", "paint": "stream_stream"}
        self._methods: list[list[Any]] = [
            [getattr(channel, kinds[each.shape])(each.method) for channel in self._channels]
            for each in mix.prepared
        ]

    async def connect(self) -> None:
        """Wait until there is a connection on every channel.

        Raises:
            ConnectError: There is none after a while.
        """

        async def ready(channel: grpc.aio.Channel) -> None:
            await asyncio.wait_for(channel.channel_ready(), _CONNECT_SECONDS)

        results = await asyncio.gather(*map(ready, self._channels), return_exceptions=True)
        for number, result in enumerate(results):
            if isinstance(result, BaseException):
                address = self._addresses[number % len(self._addresses)]
                raise ConnectError(f"no connection to {address} within {_CONNECT_SECONDS:.0f} s") from result

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            await channel.close()

    async def send(self, number: int, due: float, clock: Clock) -> Sequence[Sample]:
        """Send request `number` and tell what came of it; fails for nothing that a service can do."""
        kind = self._mix.kind(number)
        prepared = self._mix.prepared[kind]
        method = self._methods[kind][number % len(self._channels)]
        message = prepared.message(number, self._first_seed)
        if prepared.shape == "paint":
            return await self._paint(prepared, method, message, number, kind, due, clock)
        replies: list[bytes] = []
        sent = clock()
        try:
            if prepared.shape == "unary":
                replies.append(await method(message, timeout=prepared.timeout, metadata=self._metadata))
            else:
                call = method(message, timeout=prepared.timeout, metadata=self._metadata)
                replies.extend([reply async for reply in call])
        except grpc.aio.AioRpcError as error:
            return [Sample(number, kind, due, sent, clock(), code_of(error))]
        done = clock()
        parts, images = read_replies(prepared.response, replies)
        return [Sample(number, kind, due, sent, done, OK, parts, images, sum(map(len, replies)))]

    async def _paint(
        self, prepared: Prepared, method: Any, start: bytes, number: int, kind: int, due: float, clock: Clock
    ) -> list[Sample]:
        samples: list[Sample] = []
        pending: deque[_Pending] = deque()
        updates = prepared.sessions[number % len(prepared.sessions)]
        begin = clock()

        async def messages() -> AsyncIterator[bytes]:
            pending.append(_Pending(0, due, begin))
            yield start
            async for update, time in self._paced(updates, due, clock):
                now = clock()
                if now - time > self._max_lag:
                    samples.append(Sample(number, kind, time, math.nan, now, SKIPPED_LATE))
                    continue
                pending.append(_Pending(update.sequence, time, now))
                yield update.message

        try:
            async for reply in method(messages(), timeout=prepared.timeout, metadata=self._metadata):
                now = clock()
                frame = pb.PaintResponse.FromString(reply)
                # One frame shows all updates up to its own; each was waited for since it was due.
                while pending and pending[0].sequence <= frame.sequence:
                    shown = pending.popleft()
                    last = shown.sequence == frame.sequence
                    samples.append(
                        Sample(
                            number,
                            kind,
                            shown.due,
                            shown.sent,
                            now,
                            OK,
                            parts_of(frame.timings) if last else {},
                            int(last),
                            len(reply) if last else 0,
                        )
                    )
            code = "UNKNOWN NO_FRAME"
        except grpc.aio.AioRpcError as error:
            code = code_of(error)
        now = clock()
        samples.extend(Sample(number, kind, lost.due, lost.sent, now, code) for lost in pending)
        return samples

    @staticmethod
    async def _paced(
        updates: Sequence[Update], begin: float, clock: Clock
    ) -> AsyncIterator[tuple[Update, float]]:
        for update in updates:
            await asyncio.sleep(max(0.0, begin + update.due - clock()))
            yield update, begin + update.due


def read_replies(response: str, replies: Sequence[bytes]) -> tuple[dict[str, float], int]:
    """Seconds by part, of the last reply, and the number of images."""
    message = getattr(pb, response)
    images = 0
    parsed = None
    for reply in replies:
        parsed = message.FromString(reply)
        fields = message.DESCRIPTOR.fields_by_name
        images += (
            len(parsed.images) if "images" in fields else int("image" in fields and parsed.HasField("image"))
        )
    if parsed is None or "timings" not in message.DESCRIPTOR.fields_by_name or not parsed.HasField("timings"):
        return {}, images
    return parts_of(parsed.timings), images


def parts_of(timings: pb.Timings) -> dict[str, float]:
    """Seconds by part, summed over the request's images."""
    parts = {
        name: _seconds(getattr(timings, name)) for name in ("queue", "admission", "decode", "encode", TOTAL)
    }
    for run in timings.stages:
        parts[STAGE_QUEUE] = parts.get(STAGE_QUEUE, 0.0) + _seconds(run.queue)
        name = STAGE + run.stage
        parts[name] = parts.get(name, 0.0) + _seconds(run.compute)
    return parts


def code_of(error: grpc.aio.AioRpcError) -> str:
    """The code's name, and the reason that the service told, if it told one."""
    name: str = error.code().name
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
                for detail in status.details:
                    info = error_details_pb2.ErrorInfo()
                    if detail.Unpack(info) and info.reason:
                        return f"{name} {info.reason}"
            except Exception:
                return name
    return name


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos * 1e-9
