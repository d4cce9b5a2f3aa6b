"""The load of a soak: good requests, and at the same time everything that callers do wrong or take back."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.loops import Bounds, Clock, Send, closed_loop
from maskweave_bench.samples import OK, Sample
from maskweave_client import AsyncClient, ImageFormat, MaskweaveError

ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "synthesize": frozenset({"OK"}),
        "stream": frozenset({"OK"}),
        "new connection": frozenset({"OK"}),
        "cancelled": frozenset({"OK", "CANCELLED"}),
        "stream left": frozenset({"OK"}),
        "short deadline": frozenset({"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}),
        "bad class": frozenset({"INVALID_ARGUMENT"}),
        "bad file": frozenset({"INVALID_ARGUMENT"}),
        "unknown model": frozenset({"NOT_FOUND"}),
    }
)
"""The kinds of request, and the codes with which each may end."""

Ask = Callable[[AsyncClient], Awaitable[None]]

_FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp", "raw")
_KINDS = tuple(ALLOWED)
_STEADY = ("synthesize", "stream")
_PAUSE_SECONDS = 0.05
"""Between two requests of a kind that comes now and then."""


class MixedLoad:
    """Callers of every kind, each with its next request as soon as its last has ended.

    Args:
        address: `host:port` of the service.
        model: The model that is asked for.
        label_map: Class ids `[height, width]`.
    """

    def __init__(self, address: str, model: str, label_map: NDArray[np.uint8]) -> None:
        self._address, self._model, self._label_map = address, model, label_map
        self._seeds = itertools.count()
        self._random = random.Random(0)
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._durations: list[float] = []

    def take(self) -> tuple[Counter[tuple[str, str]], list[float]]:
        """Outcomes and durations of good requests since the last look."""
        outcomes, durations = self._outcomes, self._durations
        self._outcomes, self._durations = Counter(), []
        return outcomes, durations

    async def run(self, seconds: float) -> None:
        """Ask for so long."""
        begin = asyncio.get_running_loop().time()
        async with AsyncClient(self._address) as client, asyncio.TaskGroup() as group:
            for kind, ask in self._asks().items():
                send = self._sender(kind, ask, client, 0.0 if kind in _STEADY else _PAUSE_SECONDS)
                group.create_task(
                    closed_loop(
                        1, seconds, send, self._take, begin=begin, bounds=Bounds(), max_requests=sys.maxsize
                    )
                )

    def _asks(self) -> Mapping[str, Ask]:
        return {
            "synthesize": self._synthesize,
            "stream": self._stream,
            "new connection": self._new_connection,
            "cancelled": self._cancelled,
            "stream left": self._stream_left,
            "short deadline": self._short_deadline,
            "bad class": self._bad_class,
            "bad file": self._bad_file,
            "unknown model": self._unknown_model,
        }

    def _sender(self, kind: str, ask: Ask, client: AsyncClient, pause: float) -> Send:
        """One request of a kind, as the load generator sends it."""

        async def send(number: int, due: float, clock: Clock) -> list[Sample]:
            sent = clock()
            try:
                await ask(client)
                code = OK
            except MaskweaveError as error:
                code = error.code.name
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                code = "CANCELLED"
            done = clock()
            await asyncio.sleep(pause)
            return [Sample(number, _KINDS.index(kind), due, sent, done, code)]

        return send

    def _take(self, sample: Sample) -> None:
        kind = _KINDS[sample.kind] if sample.kind >= 0 else "not sent"
        if kind == "synthesize" and sample.code == OK:
            self._durations.append(sample.done - sample.sent)
        self._outcomes[kind, sample.code] += 1

    async def _synthesize(self, client: AsyncClient) -> None:
        seed = next(self._seeds)
        image_format = _FORMATS[seed % len(_FORMATS)]
        await client.synthesize(self._model, self._label_map, seed=seed, image_format=image_format)

    async def _stream(self, client: AsyncClient) -> None:
        seed = next(self._seeds)
        async for _ in client.synthesize_stream(self._model, self._label_map, seed=seed, number_of_images=4):
            pass

    async def _new_connection(self, _: AsyncClient) -> None:
        async with AsyncClient(self._address) as fresh:
            await fresh.model(self._model)
            await fresh.synthesize(self._model, self._label_map, seed=0)

    async def _cancelled(self, client: AsyncClient) -> None:
        asking = asyncio.create_task(
            client.synthesize(self._model, self._label_map, seed=next(self._seeds), number_of_images=8)
        )
        await asyncio.wait((asking,), timeout=self._random.uniform(0, 0.05))
        asking.cancel()
        await asking

    async def _stream_left(self, client: AsyncClient) -> None:
        stream = client.synthesize_stream(
            self._model, self._label_map, seed=next(self._seeds), number_of_images=8
        )
        async for _ in stream:
            break
        await stream.aclose()

    async def _short_deadline(self, client: AsyncClient) -> None:
        seconds = self._random.uniform(0.001, 0.05)
        await client.synthesize(self._model, self._label_map, seed=next(self._seeds), timeout=seconds)

    async def _bad_class(self, client: AsyncClient) -> None:
        await client.synthesize(self._model, np.full((64, 64), 255, np.uint8))

    async def _bad_file(self, client: AsyncClient) -> None:
        await client.synthesize(self._model, b"\x89PNG\r\n\x1a\n" + self._random.randbytes(1000))

    async def _unknown_model(self, client: AsyncClient) -> None:
        await client.synthesize("nobody", self._label_map)
