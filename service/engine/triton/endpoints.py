"""The Triton servers that an engine talks to: their channels, and which of them can answer."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence

from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from service.core.diagnostics import Diagnostics
from service.core.errors import EngineUnreachable, ModelNotReady, Unavailable
from service.engine.base import ModelInfo
from service.engine.triton.failures import failure_of
from service.engine.triton.inspection import QUESTION_SECONDS, differences, inspect_models, is_silent

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 1.0
_PROBE_SECONDS_WHILE_AWAY = 0.25
_RETRY_SECONDS = 1.0

# Images decide how large messages are, not the channel. A server that restarts is found again within two
# seconds, and a name that leads to several servers is used evenly. Keepalive finds peers behind a dead
# network.
_CHANNEL_ARGUMENTS: list[tuple[str, int | str]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An inference server is a neighbour, not somebody on the other side of a proxy.
    ("grpc.enable_http_proxy", 0),
]


class Endpoint:
    """One address, behind which there may be several servers.

    Attributes:
        url: As configured, for example `dns:///triton:8001`.
        client: Its channel.
        ready: Whether it answers and has models that it should have.
        missing: Models that it should have and that cannot be called there, by name, each with the reason.
        diagnostic: Why it is not ready, or which of its models are not; empty when all is well.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = aio.InferenceServerClient(url, channel_args=_CHANNEL_ARGUMENTS)
        self.ready = False
        self.missing: Mapping[str, str] = {}
        self.diagnostic = ""
        self._unhealthy = asyncio.Event()

    def mark_unhealthy(self) -> None:
        """Have it looked at now, because a call to it failed."""
        self._unhealthy.set()

    async def pause(self) -> None:
        """Wait until it is time to look at it again."""
        self._unhealthy.clear()
        try:
            async with asyncio.timeout(_PROBE_SECONDS if self.ready else _PROBE_SECONDS_WHILE_AWAY):
                await self._unhealthy.wait()
        except TimeoutError:
            return


class Endpoints:
    """All addresses of an engine. Belongs to the event loop that connects it.

    Args:
        urls: The addresses, at least one.
        names: The models that each must have; empty for all that offer a pack.
        on_change: Told when the first becomes ready and when the last is ready no more.
    """

    def __init__(self, urls: Sequence[str], names: Sequence[str], on_change: Callable[[bool], None]) -> None:
        self._endpoints = [Endpoint(url) for url in urls]
        self._names = names
        self._on_change = on_change
        self._turns = itertools.count()
        self._watches: list[asyncio.Task[None]] = []
        self._expected: Mapping[str, ModelInfo] = {}

    @property
    def ready(self) -> bool:
        """Whether any can answer."""
        return any(endpoint.ready for endpoint in self._endpoints)

    async def connect(self, timeout: float) -> Mapping[str, ModelInfo]:  # noqa: ASYNC109 - a setting
        """Wait for a server, learn its models, and watch all from then on.

        Returns:
            The models by name; every server is held to them.

        Raises:
            RepositoryError: A server has not the models that it should have.
            EngineUnreachable: No server was ready within `timeout` seconds.
        """
        urls = ", ".join(endpoint.url for endpoint in self._endpoints)
        _log.info("waiting for the inference server", extra={"urls": urls, "seconds": timeout})
        try:
            async with asyncio.timeout(timeout):
                while not self._expected:
                    await self._look_for_models()
        except TimeoutError:
            reasons = "; ".join(f"{endpoint.url}: {endpoint.diagnostic}" for endpoint in self._endpoints)
            raise EngineUnreachable(
                f"No inference server was ready within {timeout:g} s ({reasons})."
            ) from None
        self._watches = [asyncio.create_task(self._watch(endpoint)) for endpoint in self._endpoints]
        return self._expected

    async def version(self) -> str:
        """The version of a server that is ready; empty when it does not tell."""
        endpoint = next((endpoint for endpoint in self._endpoints if endpoint.ready), self._endpoints[0])
        try:
            metadata = await endpoint.client.get_server_metadata(client_timeout=QUESTION_SECONDS)
        except InferenceServerException:
            return ""
        return str(metadata.version)

    def pick(self, model: str, other_than: Endpoint | None = None) -> Endpoint:
        """The ready endpoint with this model whose turn it is; not `other_than`, unless it is the only one.

        Raises:
            EngineUnreachable: No endpoint is ready.
            ModelNotReady: None of those that are ready has the model.
        """
        ready = [endpoint for endpoint in self._endpoints if endpoint.ready]
        if not ready:
            raise EngineUnreachable("No inference server is ready.", retry_after_seconds=_RETRY_SECONDS)
        having = [endpoint for endpoint in ready if model not in endpoint.missing]
        if not having:
            message = f"{model} is not ready on the inference server."
            raise ModelNotReady(message, retry_after_seconds=_RETRY_SECONDS)
        having = [endpoint for endpoint in having if endpoint is not other_than] or having
        return having[next(self._turns) % len(having)]

    async def close(self) -> None:
        """Stop watching and close the channels."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for endpoint in self._endpoints:
            endpoint.ready = False
            await endpoint.client.close()

    async def _look_for_models(self) -> None:
        for endpoint in self._endpoints:
            try:
                found, diagnostics = await self._inspect(endpoint)
                diagnostics.raise_if_any()
            except Unavailable as error:
                endpoint.diagnostic = str(error)
            else:
                self._expected = found
                endpoint.ready = True
                return
        await asyncio.sleep(_PROBE_SECONDS_WHILE_AWAY)

    async def _inspect(self, endpoint: Endpoint) -> tuple[Mapping[str, ModelInfo], Diagnostics]:
        """Its models; `Unavailable` when it does not answer or is not ready."""
        client = endpoint.client
        try:
            if not await client.is_server_ready(client_timeout=QUESTION_SECONDS):
                raise Unavailable("it is loading models")
            return await inspect_models(client, endpoint.url, self._names)
        except InferenceServerException as error:
            if is_silent(error):
                raise Unavailable(f"it does not answer: {error.message()}") from error
            raise Unavailable(f"it refuses to tell its models: {error.message()}") from error

    async def _watch(self, endpoint: Endpoint) -> None:
        while True:
            before = self.ready
            try:
                missing = await (self._missing if endpoint.ready else self._missing_on_return)(endpoint)
                endpoint.ready, endpoint.missing = True, missing
                diagnostic = "; ".join(missing.values())
            except Unavailable as error:
                endpoint.ready, endpoint.missing = False, {}
                diagnostic = str(error)
            if diagnostic != endpoint.diagnostic:
                endpoint.diagnostic = diagnostic
                _report(endpoint)
            if self.ready != before:
                self._on_change(self.ready)
            await endpoint.pause()

    async def _missing_on_return(self, endpoint: Endpoint) -> Mapping[str, str]:
        """What lacks on an endpoint that has been away; `Unavailable` when it cannot be used."""
        found, _ = await self._inspect(endpoint)
        changed = differences(self._expected, found)
        if changed:
            # The model registry was made of the models there were at start; callers have been told of it.
            raise Unavailable(f"{'; '.join(changed.values())}: restart the gateway to serve them")
        return self._usable(
            {name: _not_ready(info) for name, info in self._expected.items() if name not in found}
        )

    async def _missing(self, endpoint: Endpoint) -> Mapping[str, str]:
        """What lacks on an endpoint that is ready; `Unavailable` when it cannot be used any more.

        Each model is asked for, not the server: Triton calls itself not ready while any model of any kind is
        being loaded or unloaded, and answers for the others all the same.
        """
        missing: dict[str, str] = {}
        try:
            for name, info in self._expected.items():
                if not await _is_ready(endpoint.client, info):
                    missing[name] = _not_ready(info)
            returned = endpoint.missing.keys() - missing.keys()
            if returned:
                # What is there again may be another model by the same name.
                found, _ = await inspect_models(endpoint.client, endpoint.url, self._names)
                changed = differences(self._expected, found)
                for name in sorted(returned):
                    if name in changed:
                        missing[name] = f"{changed[name]}: restart the gateway to serve it"
                    elif name not in found:
                        missing[name] = endpoint.missing[name]
        except InferenceServerException as error:
            raise Unavailable(f"it does not answer: {error.message()}") from error
        return self._usable(missing)

    def _usable(self, missing: Mapping[str, str]) -> Mapping[str, str]:
        """`missing`, unless nothing is left that a caller could ask for."""
        steps = {step for info in self._expected.values() for step in info.steps}
        if missing.keys() >= self._expected.keys() - steps:
            raise Unavailable("; ".join(missing.values()))
        return missing


async def _is_ready(client: aio.InferenceServerClient, info: ModelInfo) -> bool:
    try:
        ready = await client.is_model_ready(info.name, str(info.version), client_timeout=QUESTION_SECONDS)
    except InferenceServerException as error:
        if isinstance(failure_of(error, info.name, 0.0), ModelNotReady):
            return False
        raise
    return bool(ready)


def _not_ready(info: ModelInfo) -> str:
    return f"{info.name} version {info.version} is not ready"


def _report(endpoint: Endpoint) -> None:
    if not endpoint.ready:
        facts = {"url": endpoint.url, "reason": endpoint.diagnostic}
        _log.warning("inference server not ready", extra=facts)
    elif endpoint.missing:
        facts = {"url": endpoint.url, "reason": endpoint.diagnostic}
        _log.warning("models not ready on the inference server", extra=facts)
    else:
        _log.info("inference server ready", extra={"url": endpoint.url})
