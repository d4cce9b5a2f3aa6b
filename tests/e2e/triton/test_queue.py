"""Triton's queues through the gateway: full ones, deadlines, cancelled calls, priorities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import numpy as np
import pytest

from maskweave_client import AsyncClient, DeadlineExceeded, Overloaded, Result
from tests.e2e.triton.support import triton_backed
from tests.support.gateway_process import GatewayProcess
from tests.support.slow_pack import SLOW_ONE_SECOND
from tests.support.triton_process import TritonProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = np.zeros((4, 4), np.uint8)
QUEUED = 4  # as the repository's config allows
STAGE = "slow_stage"
PENDING = "nv_inference_pending_request_count"


def latent(seconds: float) -> list[list[float]]:
    return [[seconds * SLOW_ONE_SECOND]]


@pytest.fixture
async def client(triton_gateway: GatewayProcess, triton: TritonProcess) -> AsyncIterator[AsyncClient]:
    """A client, of a gateway and a Triton with nothing to do."""
    await asyncio.to_thread(triton.wait_for_metric, PENDING, STAGE, 0)
    async with AsyncClient(triton_gateway.address, retry=None) as connected:
        yield connected


@pytest.fixture(scope="module")
def fused_gateway(triton: TritonProcess) -> Iterator[GatewayProcess]:
    """A gateway that serves single models instead of ensembles."""
    with triton_backed(triton, layout="fused", triton_models="slow_label_map_fused") as running:
        yield running


async def pending(triton: TritonProcess, count: int, model: str = STAGE) -> None:
    """Wait until so many requests wait in Triton's queue."""
    await asyncio.to_thread(triton.wait_for_metric, PENDING, model, count)


async def taken(
    client: AsyncClient, triton: TritonProcess, seconds: float, model: str = STAGE
) -> asyncio.Task[Result]:
    """A call that keeps a model busy for so long: Triton has begun with it, and it waits in no queue."""
    begun = triton.executions_begun(model)
    running = asyncio.create_task(client.synthesize("slow", SMALL, latents=latent(seconds)))
    await asyncio.to_thread(triton.wait_until_begun, model, begun + 1)
    return running


async def test_a_full_queue_is_overload_with_the_time_to_come_back(
    client: AsyncClient, triton: TritonProcess
) -> None:
    running = await taken(client, triton, 4)
    waiting = [
        asyncio.create_task(client.synthesize("slow", SMALL, latents=latent(0))) for _ in range(QUEUED)
    ]
    await pending(triton, QUEUED)
    with pytest.raises(Overloaded) as caught:
        await client.synthesize("slow", SMALL, latents=latent(0))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds > 0
    # Those that were taken are answered.
    assert [len(result.images) for result in await asyncio.gather(running, *waiting)] == [1] * (QUEUED + 1)


async def test_a_deadline_that_passes_in_the_queue_frees_its_place(
    client: AsyncClient, triton: TritonProcess
) -> None:
    """Callers are told at once; Triton drops them when the model is free again and it looks at its queue."""
    executed = triton.count(STAGE, "execution_count")
    running = await taken(client, triton, 3)
    hasty = [
        asyncio.create_task(client.synthesize("slow", SMALL, latents=latent(5), timeout=0.2))
        for _ in range(QUEUED)
    ]
    results = await asyncio.gather(*hasty, return_exceptions=True)
    assert [type(result) for result in results] == [DeadlineExceeded] * QUEUED
    assert not running.done()
    await running
    await pending(triton, 0)
    # As many as there are places: none is taken by those that gave up.
    calls = [client.synthesize("slow", SMALL, latents=latent(0.01), timeout=60) for _ in range(QUEUED)]
    assert [len(result.images) for result in await asyncio.gather(*calls)] == [1] * QUEUED
    await pending(triton, 0)
    triton.wait_for_count(STAGE, "execution_count", executed + 1 + QUEUED)


async def test_cancelled_calls_leave_the_queue_of_a_model(
    triton: TritonProcess, fused_gateway: GatewayProcess
) -> None:
    model = "slow_label_map_fused"
    executed = triton.count(model, "execution_count")
    async with AsyncClient(fused_gateway.address) as client:
        running = await taken(client, triton, 3, model)
        waiting = [
            asyncio.create_task(client.synthesize("slow", SMALL, latents=latent(5))) for _ in range(QUEUED)
        ]
        await pending(triton, QUEUED, model)
        await cancelled(waiting)
        await running
        await pending(triton, 0, model)
        # 20 seconds of work were dropped.
        assert (await client.synthesize("slow", SMALL, latents=latent(0), timeout=60)).images
    triton.wait_for_count(model, "execution_count", executed + 2)


async def test_cancelled_calls_to_an_ensemble_are_dropped_where_they_wait(triton: TritonProcess) -> None:
    """Triton does not take them out of the queues of an ensemble's steps; what it has not got is dropped."""
    executed = triton.count(STAGE, "execution_count")
    with triton_backed(triton, concurrency_limit=1) as gateway:
        async with AsyncClient(gateway.address) as client:
            running = await taken(client, triton, 3)
            waiting = [
                asyncio.create_task(client.synthesize("slow", SMALL, latents=latent(5))) for _ in range(8)
            ]
            await asyncio.to_thread(gateway.wait_until_in_flight, 9)
            await cancelled(waiting)
            await running
            assert (await client.synthesize("slow", SMALL, latents=latent(0), timeout=60)).images
    # And one that warmed the gateway up.
    triton.wait_for_count(STAGE, "execution_count", executed + 3)


async def cancelled(tasks: list[asyncio.Task[Result]]) -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_interactive_requests_pass_batches(client: AsyncClient, triton: TritonProcess) -> None:
    running = await taken(client, triton, 3)
    answered: list[str] = []

    async def ask(kind: str) -> None:
        priority = "batch" if kind == "batch" else "interactive"
        await client.synthesize("slow", SMALL, latents=latent(0.1), priority=priority)  # type: ignore[arg-type]
        answered.append(kind)

    tasks = [asyncio.create_task(ask("batch")) for _ in range(2)]
    await pending(triton, 2)
    tasks += [asyncio.create_task(ask("interactive")) for _ in range(2)]
    await pending(triton, 4)
    await asyncio.gather(running, *tasks)
    assert answered == ["interactive", "interactive", "batch", "batch"]


async def test_the_rest_of_a_cancelled_stream_is_not_made(
    triton: TritonProcess, fused_gateway: GatewayProcess
) -> None:
    model = "slow_label_map_fused"
    executed = triton.count(model, "execution_count")
    async with AsyncClient(fused_gateway.address) as client:
        running = await taken(client, triton, 3, model)
        stream = client.synthesize_stream("slow", SMALL, latents=latent(5) * QUEUED)
        first = asyncio.ensure_future(anext(stream))
        await pending(triton, QUEUED, model)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await running
        await pending(triton, 0, model)
        assert (await client.synthesize("slow", SMALL, latents=latent(0), timeout=60)).images
    triton.wait_for_count(model, "execution_count", executed + 2)
