"""Who may call what: from the metadata of a call to the key it came with, and from a method to its scopes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc

from service.access.keys import KeyEntry, Keys, Scope
from service.access.quota import Quotas
from service.core.errors import PermissionDenied, Unauthenticated
from service.core.metrics import Metrics
from service.core.statuses import describe
from service.rpc.status import DETAILS_TRAILER, rich_status

AUTHORIZATION = "authorization"
API_KEY = "x-api-key"

_ANY = frozenset(Scope)

METHOD_SCOPES: Mapping[str, frozenset[Scope]] = {
    # Whatever one does with a model begins with looking at it.
    "ListModels": _ANY,
    "GetModel": _ANY,
    "Synthesize": frozenset({Scope.SYNTHESIZE}),
    "SynthesizeStream": frozenset({Scope.SYNTHESIZE}),
    "Paint": frozenset({Scope.SYNTHESIZE}),
    # What it reads is of use to whoever makes pictures, and to whoever edits theirs.
    "EncodeStyles": frozenset({Scope.SYNTHESIZE, Scope.EDIT}),
    "Morph": frozenset({Scope.SYNTHESIZE}),
    "Edit": frozenset({Scope.EDIT}),
}
"""The one place that says which scopes a method of the service needs: one of those listed."""

_BEARER = "bearer "
_HOW = f"send the metadata `{AUTHORIZATION}: Bearer <key>`"

Metadata = Iterable[tuple[str, str | bytes]]

_logger = logging.getLogger(__name__)


class Access:
    """Lets calls in by their keys.

    Args:
        keys: The keys that are accepted.
        quotas: Holds them to their limits.
    """

    def __init__(self, keys: Keys, quotas: Quotas | None = None) -> None:
        self._keys = keys
        self._quotas = quotas or Quotas()

    def accept(self, keys: Keys) -> None:
        """Accept these keys from now on, in place of those before. Calls in progress go on."""
        self._keys = keys
        self._quotas.keep_only(keys)

    def identify(self, metadata: Metadata | None) -> KeyEntry:
        """The key that a call came with.

        Raises:
            Unauthenticated: It came with none, or with one that is not known.
        """
        key = _presented(dict(metadata or ()))
        entry = self._keys.find(key)
        if entry is None:
            raise Unauthenticated(f"The key is not known here; {_HOW}.")
        return entry

    def permit(self, method: str, metadata: Metadata | None) -> KeyEntry:
        """The key that a call of a method of the service came with, if it is for that.

        Raises:
            Unauthenticated: It came with none, or with one that is not known.
            PermissionDenied: The key has none of the method's scopes.
        """
        entry = self.identify(metadata)
        needed = METHOD_SCOPES[method]
        if not needed & entry.scopes:
            raise PermissionDenied(entry.id, entry.scopes, needed)
        return entry

    @contextmanager
    def use(self, entry: KeyEntry) -> Iterator[None]:
        """Count a call as the key's inside this context.

        Raises:
            QuotaExceeded: The key is at one of its limits.
        """
        with self._quotas.use(entry):
            yield


class ClosedServices(grpc.aio.ServerInterceptor):
    """Asks for a key, of whatever scope, before calls of services that are not the gateway's own.

    Args:
        services: Their fully qualified names.
        access: Knows the keys.
        metrics: Counts the refusals.
    """

    def __init__(self, services: Collection[str], access: Access, metrics: Metrics) -> None:
        self._services = frozenset(services)
        self._access = access
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Put a refusal in the place of the method when the call has no key."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.strip("/").partition("/")[0]
        if handler is None or service not in self._services:
            return handler
        try:
            self._access.identify(handler_call_details.invocation_metadata)
        except Unauthenticated as error:
            self._metrics.failed(error.reason)
            facts = {"method": handler_call_details.method, "reason": error.reason, "problem": str(error)}
            _logger.info("request refused", extra=facts)
            return _refusal(handler, error)
        return handler


def _presented(metadata: Mapping[str, str | bytes]) -> str:
    authorization = metadata.get(AUTHORIZATION)
    if isinstance(authorization, str):
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated(f"The metadata `{AUTHORIZATION}` is not of the form `Bearer <key>`.")
        return authorization[len(_BEARER) :].strip()
    key = metadata.get(API_KEY)
    if isinstance(key, str):
        return key.strip()
    raise Unauthenticated(f"This needs a key; {_HOW}.")


def _refusal(
    handler: grpc.RpcMethodHandler[Any, Any], error: Unauthenticated
) -> grpc.RpcMethodHandler[Any, Any]:
    failure = describe(error)
    trailer = ((DETAILS_TRAILER, rich_status(failure, error, "").SerializeToString()),)

    async def refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> NoReturn:
        await context.abort(failure.code, failure.message, trailer)

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(refuse, handler.request_deserializer, handler.response_serializer)
