"""The Triton servers that an engine talks to: their channels, and which of them can answer."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence

from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from service.core.errors import EngineUnreachable, RepositoryError, Unavailable
from service.engine.base import ModelInfo
from service.engine.triton.inspection import QUESTION_SECONDS, differences, inspect_models, is_silent

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 1.0
_PROBE_SECONDS_WHILE_AWAY = 0.25
_RETRY_SECONDS = 1.0

# Pictures decide how large messages are, not the channel. A server that restarts is found again within two
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
        ready: Whether it answers and has the models that it should have.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = aio.InferenceServerClient(url, channel_args=_CHANNEL_ARGUMENTS)
        self.ready = False
        self.complaint = ""
        self._suspected = asyncio.Event()

    def suspect(self) -> None:
        """Have it looked at now, because a call to it failed."""
        self._suspected.set()

    async def pause(self) -> None:
        """Wait until it is time to look at it again."""
        self._suspected.clear()
        try:
            async with asyncio.timeout(_PROBE_SECONDS if self.ready else _PROBE_SECONDS_WHILE_AWAY):
                await self._suspected.wait()
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
            complaints = "; ".join(f"{endpoint.url}: {endpoint.complaint}" for endpoint in self._endpoints)
            raise EngineUnreachable(
                f"No inference server was ready within {timeout:g} s ({complaints})."
            ) from None
        self._watches = [asyncio.create_task(self._watch(endpoint)) for endpoint in self._endpoints]
        return self._expected

    def pick(self, other_than: Endpoint | None = None) -> Endpoint:
        """The ready endpoint whose turn it is; not `other_than`, unless it is the only one.

        Raises:
            EngineUnreachable: None is ready.
        """
        ready = [endpoint for endpoint in self._endpoints if endpoint.ready]
        ready = [endpoint for endpoint in ready if endpoint is not other_than] or ready
        if not ready:
            raise EngineUnreachable("No inference server is ready.", retry_after_seconds=_RETRY_SECONDS)
        return ready[next(self._turns) % len(ready)]

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
                self._expected = await self._inspect(endpoint)
            except Unavailable as error:
                endpoint.complaint = str(error)
            else:
                endpoint.ready = True
                return
        await asyncio.sleep(_PROBE_SECONDS_WHILE_AWAY)

    async def _inspect(self, endpoint: Endpoint) -> Mapping[str, ModelInfo]:
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
            complaint = await self._complaint(endpoint)
            before, endpoint.ready = self.ready, not complaint
            if complaint != endpoint.complaint:
                endpoint.complaint = complaint
                self._report(endpoint)
            if self.ready != before:
                self._on_change(self.ready)
            await endpoint.pause()

    async def _complaint(self, endpoint: Endpoint) -> str:
        """Why an endpoint cannot be used; empty when it can."""
        try:
            if endpoint.ready:
                return await self._complaint_of_ready(endpoint.client)
            changed = differences(self._expected, await self._inspect(endpoint))
        except (Unavailable, RepositoryError) as error:
            return str(error)
        # The catalogue was made of the models there were at start, and callers have been told of it.
        return f"{'; '.join(changed)}: restart the gateway to serve them" if changed else ""

    async def _complaint_of_ready(self, client: aio.InferenceServerClient) -> str:
        try:
            if not await client.is_server_ready(client_timeout=QUESTION_SECONDS):
                return "it is not ready"
            for info in self._expected.values():
                version = str(info.version)
                if not await client.is_model_ready(info.name, version, client_timeout=QUESTION_SECONDS):
                    return f"{info.name} version {version} is not ready"
        except InferenceServerException as error:
            return f"it does not answer: {error.message()}"
        return ""

    def _report(self, endpoint: Endpoint) -> None:
        if endpoint.ready:
            _log.info("inference server ready", extra={"url": endpoint.url})
        else:
            _log.warning(
                "inference server not ready", extra={"url": endpoint.url, "reason": endpoint.complaint}
            )
