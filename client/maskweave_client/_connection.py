"""How a client is connected, and how its calls go."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client._channel import DEFAULT_TIMEOUT_SECONDS, channel_options, check_api_key, metadata
from maskweave_client._errors import MaskweaveError, error_from_rpc

Reply = TypeVar("Reply")
Item = TypeVar("Item")


class Connection:
    """The connection of a client, whose docstring says what the arguments are."""

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        channel: grpc.Channel | None = None,
        api_key: str | None = None,
        allow_insecure_key: bool = False,
    ) -> None:
        encrypted = credentials is not None or channel is not None  # a channel is its maker's care
        check_api_key(api_key, target, encrypted=encrypted, allow_insecure=allow_insecure_key)
        if channel is None:
            if credentials is None:
                channel = grpc.insecure_channel(target, options=channel_options(target))
            else:
                channel = grpc.secure_channel(target, credentials, options=channel_options(target))
        self._channel = channel
        self._timeout = timeout
        self._api_key = api_key
        self._stub = pb_grpc.SynthesisServiceStub(channel)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._channel.close()

    def _call(
        self,
        method: Callable[..., Reply],
        request: object,
        timeout: float | None,
        request_id: str | None,
    ) -> Reply:
        try:
            return method(
                request,
                timeout=self._timeout if timeout is None else timeout,
                metadata=metadata(self._api_key, request_id),
            )
        except grpc.RpcError as error:
            raise _translated(error) from error

    def _stream(
        self,
        method: Callable[..., Any],
        read: Callable[[Any], Item],
        request: Message,
        timeout: float | None,
        request_id: str | None,
    ) -> Generator[Item, None, None]:
        call = method(
            request,
            timeout=self._timeout if timeout is None else timeout,
            metadata=metadata(self._api_key, request_id),
        )
        try:
            for message in call:
                yield read(message)
        except grpc.RpcError as error:
            raise _translated(error) from error
        finally:
            call.cancel()


def _translated(error: Any) -> MaskweaveError:
    return error_from_rpc(error.code(), error.details() or "", error.trailing_metadata() or ())
