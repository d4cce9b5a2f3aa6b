"""Puts the service's methods on a gRPC server, each as a call with all that calls have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.metrics import Rpc
from service.rpc.calls import Call, Calls, Context
from service.rpc.edit_servicer import EditServicer
from service.rpc.paint import PaintSessions
from service.rpc.servicer import SynthesisServicer
from service.rpc.style_servicer import StyleServicer

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SynthesisService"].full_name
"""`maskweave.v1.SynthesisService`, also the name that health checks use."""

Request = TypeVar("Request", bound=Message)


def add_synthesis_service(
    server: grpc.aio.Server,
    servicer: SynthesisServicer,
    styles: StyleServicer,
    edits: EditServicer,
    sessions: PaintSessions,
    calls: Calls,
) -> None:
    """Serve every method of the service.

    The handlers take and give bytes and parse them inside the call, so that a message that cannot be
    parsed fails like every other bad request.
    """
    handlers = {
        "ListModels": _unary(calls, "ListModels", pb.ListModelsRequest, servicer.list_models),
        "GetModel": _unary(calls, "GetModel", pb.GetModelRequest, servicer.get_model),
        "Synthesize": _unary(calls, "Synthesize", pb.SynthesizeRequest, servicer.synthesize),
        "SynthesizeStream": _stream(
            calls, "SynthesizeStream", pb.SynthesizeRequest, servicer.synthesize_stream
        ),
        "Paint": _session(calls, "Paint", pb.PaintRequest, sessions.paint),
        "EncodeStyles": _unary(calls, "EncodeStyles", pb.EncodeStylesRequest, styles.encode_styles),
        "Morph": _stream(calls, "Morph", pb.MorphRequest, styles.morph),
        "Edit": _unary(calls, "Edit", pb.EditRequest, edits.edit),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))


def _unary(
    calls: Calls,
    method: str,
    request_type: type[Request],
    behaviour: Callable[[Request, Call], Awaitable[Message]],
) -> grpc.RpcMethodHandler[Any, Any]:
    rpc = Rpc(SERVICE_NAME, method, "unary")

    async def handle(data: bytes, context: Context) -> bytes:
        async with calls.take(rpc, context) as call:
            response = await behaviour(_parse(request_type, data), call)
            return response.SerializeToString()

    return grpc.unary_unary_rpc_method_handler(handle)


def _stream(
    calls: Calls,
    method: str,
    request_type: type[Request],
    behaviour: Callable[[Request, Call], AsyncGenerator[Message, None]],
) -> grpc.RpcMethodHandler[Any, Any]:
    rpc = Rpc(SERVICE_NAME, method, "server_stream")

    # Writes instead of yielding: a cancelled call is then interrupted here and not left suspended.
    async def handle(data: bytes, context: Context) -> None:
        async with (
            calls.take(rpc, context) as call,
            aclosing(behaviour(_parse(request_type, data), call)) as responses,
        ):
            async for response in responses:
                await _write(response, context)

    return grpc.unary_stream_rpc_method_handler(handle)


def _session(
    calls: Calls,
    method: str,
    request_type: type[Request],
    behaviour: Callable[
        [AsyncIterator[Request], Call, Callable[[Message], Awaitable[None]]], Awaitable[None]
    ],
) -> grpc.RpcMethodHandler[Any, Any]:
    rpc = Rpc(SERVICE_NAME, method, "bidi_stream")

    async def handle(messages: AsyncIterator[bytes], context: Context) -> None:
        async def send(response: Message) -> None:
            await _write(response, context)

        async with calls.take(rpc, context, session=True) as call:
            await behaviour(_Parsed(request_type, messages), call, send)

    return grpc.stream_stream_rpc_method_handler(handle)


async def _write(response: Message, context: Context) -> None:
    """Raises CancelledError if there is nobody to write to any more."""
    try:
        await context.write(response.SerializeToString())
    except grpc.aio.InternalError:
        # The caller has gone, and this write heard of it before gRPC cancelled the call.
        raise asyncio.CancelledError from None


class _Parsed(AsyncIterator[Request]):
    """The messages of a stream. No generator: waiting for the next one can be given up and begun again."""

    def __init__(self, request_type: type[Request], messages: AsyncIterator[bytes]) -> None:
        self._request_type = request_type
        self._messages = messages

    async def __anext__(self) -> Request:
        return _parse(self._request_type, await anext(self._messages))


def _parse(request_type: type[Request], data: bytes) -> Request:
    try:
        return request_type.FromString(data)
    except DecodeError:
        name = request_type.DESCRIPTOR.full_name
        raise InvalidArgument("(message)", f"{len(data)} bytes that are not one", f"a {name}") from None
