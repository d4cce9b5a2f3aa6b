"""Clients that ask for images they know, while a test does something to the service."""

from __future__ import annotations

import threading
import time
from collections import Counter

import grpc
import numpy as np

from maskweave_client import Client, GeneratedImage, MaskweaveError
from tests.support.gateway_process import PATIENCE_SECONDS, GatewayProcess, wait_until

LABEL_MAP = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((32, 16), np.uint8))
"""All eight classes as rectangles, uint8 [64, 64]."""

CLIENTS = 4
CALL_SECONDS = 30.0
"""The deadline of each call."""
PAUSE_SECONDS = 0.02
"""Between the calls of a client: without it, clients take the processor from what a test waits for."""


class Load:
    """Clients that ask for images of known seeds, one after the other, until they are told to stop.

    Args:
        gateway: Whom they ask.
        expected: The right images by their seeds.
        clients: How many ask at the same time.
        retries: Whether the client tries again by itself, as users have it. Otherwise every failure shows.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        expected: dict[int, GeneratedImage],
        *,
        clients: int = CLIENTS,
        retries: bool = False,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.longest = 0.0
        self._gateway, self._expected, self._retries = gateway, expected, retries
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"

    def wait_for(self, outcome: str, count: int) -> None:
        """Wait until so many more calls have ended in a certain way."""
        wanted = self.outcomes[outcome] + count
        wait_until(
            lambda: self.outcomes[outcome] >= wanted, lambda: f"{outcome} did not come: {self.outcomes}"
        )

    def _client(self) -> Client:
        if self._retries:
            return Client(self._gateway.address, timeout=CALL_SECONDS)
        options = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
        channel = grpc.insecure_channel(self._gateway.address, options)
        return Client(channel=channel, timeout=CALL_SECONDS, retry=None)

    def _ask(self, number: int) -> None:
        seeds = list(self._expected)
        turn = number
        with self._client() as client:
            while not self._stop.is_set():
                seed = seeds[turn % len(seeds)]
                turn += 1
                began = time.monotonic()
                try:
                    (image,) = client.synthesize("faces64", LABEL_MAP, seed=seed).images
                    outcome = "right" if image == self._expected[seed] else "wrong"
                except MaskweaveError as error:
                    outcome = f"{error.code.name}: {error.reason}"
                self.longest = max(self.longest, time.monotonic() - began)
                self.outcomes[outcome] += 1
                self._stop.wait(PAUSE_SECONDS)


def expected_images(gateway: GatewayProcess) -> dict[int, GeneratedImage]:
    """The right images of a few seeds, made before anything happens to the service."""
    with Client(gateway.address) as client:
        images = client.synthesize("faces64", LABEL_MAP, seed=0, number_of_images=8).images
    return {image.seed or 0: image for image in images}
