"""How a client is connected, and how its calls go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._async_transport import (
    AsyncChannel,
    AsyncMethod,
    AsyncRpcError,
    AsyncStub,
    AsyncTransport,
)
from maskweave_client._channel import DEFAULT_TIMEOUT_SECONDS, check_api_key, metadata
from maskweave_client._errors import MaskweaveError, failure_of
from maskweave_client._fitting import fit, needs_model
from maskweave_client._models import Model, model_from_proto
from maskweave_client._retry import Attempts, Retry

Reply = TypeVar("Reply")
Item = TypeVar("Item")

_MODEL_SECONDS = 60.0
"""How long a model's description is good for fitting requests to it."""


class AsyncConnection:
    """The connection of a client, whose docstring says what the arguments are."""

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        channel: AsyncChannel | None = None,
        api_key: str | None = None,
        allow_insecure_key: bool = False,
    ) -> None:
        encrypted = credentials is not None or channel is not None  # a channel is its maker's care
        check_api_key(api_key, target, encrypted=encrypted, allow_insecure=allow_insecure_key)
        self._transport = AsyncTransport(target, credentials, channel, retry)
        self._timeout = timeout
        self._retry = retry
        self._api_key = api_key
        self._known: dict[tuple[str, str], tuple[float, Model]] = {}

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        await self._transport.close()

    @property
    def _stub(self) -> AsyncStub:
        return self._transport.stub

    def _attempts(self, timeout: float | None) -> Attempts:
        seconds = self._timeout if timeout is None else timeout
        return Attempts(self._retry, seconds, self._transport.clock)

    async def _call(
        self, method: AsyncMethod[Reply], request: Message, timeout: float | None, request_id: str | None
    ) -> Reply:
        attempts = self._attempts(timeout)
        await self._fit(request, attempts)
        return await self._attempt(method, request, attempts, request_id)

    async def _attempt(
        self, method: AsyncMethod[Reply], request: Message, attempts: Attempts, request_id: str | None
    ) -> Reply:
        while True:
            try:
                return await method(
                    request, timeout=attempts.remaining(), metadata=metadata(self._api_key, request_id)
                )
            except AsyncRpcError as error:  # noqa: PERF203 - each is a call of its own
                failure = failure_of(error)
                if not await self._may_go_on(attempts, failure):
                    raise failure from error

    async def _stream(
        self,
        method: Callable[..., Any],
        read: Callable[[Any], Item],
        request: Message,
        timeout: float | None,
        request_id: str | None,
    ) -> AsyncGenerator[Item, None]:
        attempts = self._attempts(timeout)
        await self._fit(request, attempts)
        while True:
            answered = False
            call = method(request, timeout=attempts.remaining(), metadata=metadata(self._api_key, request_id))
            try:
                async for message in call:
                    answered = True
                    yield read(message)
                return
            except AsyncRpcError as error:
                failure = failure_of(error)
                if answered or not await self._may_go_on(attempts, failure):
                    raise failure from error
            finally:
                call.cancel()

    async def _may_go_on(self, attempts: Attempts, failure: MaskweaveError) -> bool:
        """Wait for as long as the service asks; False when the call is not to be tried again."""
        pause = attempts.pause_after(failure)
        return pause is not None and await self._transport.pause(pause)

    async def _fit(self, request: Message, attempts: Attempts, model: tuple[str, str] | None = None) -> None:
        """Change a request so that a model can take it; see `_fitting`.

        Args:
            request: The request.
            attempts: What is left of its time.
            model: Name and version of the model; those that the request has when None.
        """
        if needs_model(request):
            asked = model or (request.model, request.model_version)  # type: ignore[attr-defined]
            await self._transport.work(fit, request, await self._described(asked, attempts))

    async def _described(self, asked: tuple[str, str], attempts: Attempts) -> Model:
        """What is known of a model, by name and version, or what the service says of it now."""
        if asked in self._known:
            until, model = self._known[asked]
            if self._transport.clock() < until:
                return model
        name, version = asked
        request = pb.GetModelRequest(name=name, version=version)
        reply = await self._attempt(self._stub.GetModel, request, attempts, None)
        model = model_from_proto(reply.model)
        self._known[asked] = (self._transport.clock() + _MODEL_SECONDS, model)
        return model
