"""Requests become images, above an engine that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from service.codecs.image import ImageFormat
from service.core.errors import DeadlineExceeded, EngineFailure, InvalidArgument, Overloaded
from service.core.limits import LIMITS
from service.core.metrics import Metrics
from service.core.trace import Trace
from service.engine.base import Array, Priority
from service.scheduling.queue import RequestQueue
from service.synthesis.conditions.types import RawLabelMap
from service.synthesis.images import Image, ImageWork
from service.synthesis.registry.models import Model
from service.synthesis.registry.registry import build_registry
from service.synthesis.requests import CallContext, FirstSeed, Latents, Seeds, SynthesisRequest
from service.synthesis.runner import Produced, Runner
from service.synthesis.validation.images import check_request
from service.synthesis.validation.latents import latent_from_seed, resolve_latents
from service.synthesis.warm_up import warm_up
from tests.support.fake_engine import ENSEMBLE, OTHER_CONDITIONS, FakeEngine

BLANK = RawLabelMap(b"\0", 1, 1)


@pytest.fixture
def model() -> Model:
    return build_registry(FakeEngine().models())["tiny"]


class Service:
    """A runner on an engine, with its registry."""

    def __init__(self, engine: FakeEngine, *, concurrency_limit: int = 8, capacity: int = 8) -> None:
        self.registry = build_registry(engine.models())
        self.queue = RequestQueue(concurrency_limit=concurrency_limit, capacity=capacity)
        self.runner = Runner(engine, self.queue, Metrics())

    def images(
        self, request: SynthesisRequest, call: CallContext | None = None
    ) -> AsyncGenerator[Produced[Image], None]:
        work = ImageWork(check_request(request, self.registry, LIMITS))
        return self.runner.several(work, call or CallContext(), lambda image: image.file.data, ordered=False)


def request_for(*latents: float) -> SynthesisRequest:
    return SynthesisRequest(
        "tiny", BLANK, Latents([[latent, 0, 0] for latent in latents]), image_format=ImageFormat.RAW
    )


async def images_of(
    service: Service, request: SynthesisRequest, call: CallContext | None = None
) -> list[Image]:
    return [produced.result async for produced in service.images(request, call)]


async def test_images_are_made_side_by_side() -> None:
    all_here = asyncio.Barrier(4)

    async def meet(_: Mapping[str, Array]) -> None:
        await all_here.wait()

    engine = FakeEngine(meet)
    made = await images_of(Service(engine), request_for(1, 2, 3, 4))
    assert sorted((image.index, image.file.data[0]) for image in made) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert engine.most_running == 4
    assert [context.timeout for context in engine.contexts] == [None] * 4


async def test_what_the_engine_is_told_of_the_request() -> None:
    service = Service(engine := FakeEngine())
    trace = Trace({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    call = CallContext("somebody", "r-1", asyncio.get_running_loop().time() + 60, trace)
    request = replace(request_for(1), priority=Priority.BATCH)
    assert await images_of(service, request, call)
    (context,) = engine.contexts
    assert (context.request_id, context.priority, context.trace) == ("r-1", Priority.BATCH, trace)
    assert context.timeout is not None
    assert 50 < context.timeout <= 60


async def test_a_single_image_needs_no_task_of_its_own() -> None:
    tasks = []

    async def look(_: Mapping[str, Array]) -> None:
        tasks.append(asyncio.current_task())

    service = Service(FakeEngine(look))
    work = ImageWork(check_request(request_for(1), service.registry, LIMITS))
    parts = await service.runner.collect(
        work, CallContext(), lambda image: image.file.data, lambda images: b"%d" % len(images)
    )
    assert parts == b"\1" * 12 + b"1"
    assert tasks == [asyncio.current_task()]


async def test_several_images_are_given_out_in_order_with_the_rest_behind_them() -> None:
    async def later_ones_first(inputs: Mapping[str, Array]) -> None:
        for _ in range(10 - int(inputs["LATENT"][0, 0])):
            await asyncio.sleep(0)

    service = Service(FakeEngine(later_ones_first))
    call = CallContext()
    work = ImageWork(check_request(request_for(1, 2, 3), service.registry, LIMITS))
    parts = await service.runner.collect(work, call, lambda image: image.file.data[:1], lambda _: b"end")
    assert parts == b"\1\2\3end"
    assert call.timings.images == 3
    assert call.timings.stages["tiny_label_map_stage"].runs == 3


@pytest.mark.parametrize("latents", [[1], [1, 2, 3]], ids=["one", "several"])
async def test_cancelling_drops_the_images(latents: list[float]) -> None:
    begun = asyncio.Semaphore(0)

    async def wait(_: Mapping[str, Array]) -> None:
        begun.release()
        await asyncio.Event().wait()

    engine = FakeEngine(wait)
    task = asyncio.create_task(images_of(Service(engine), request_for(*latents)))
    for _ in latents:
        await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0


async def test_cancelling_twice_leaves_nothing_in_the_queue() -> None:
    """GRPC cancels a call whose connection is gone, and what it was waiting for may do so, too."""
    begun = asyncio.Semaphore(0)

    async def wait(_: Mapping[str, Array]) -> None:
        begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # the first cancellation takes its time

    service = Service(FakeEngine(wait), concurrency_limit=2, capacity=8)
    task = asyncio.create_task(images_of(service, request_for(*range(8))))
    for _ in range(2):
        await begun.acquire()
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.queue.depth == 0
    for _ in range(200):
        if not service.queue.in_progress:
            break
        await asyncio.sleep(0.01)
    assert service.queue.in_progress == 0


async def test_each_image_comes_as_soon_as_it_is_ready() -> None:
    release = asyncio.Event()

    async def first_waits(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] == 1:
            await release.wait()

    order = []
    service = Service(FakeEngine(first_waits))
    async for produced in service.images(request_for(1, 2)):
        order.append(produced.result.index)
        release.set()
    assert order == [1, 0]


async def test_a_failure_drops_the_other_images() -> None:
    async def second_fails(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] == 2:
            raise EngineFailure("no")
        await asyncio.Event().wait()

    engine = FakeEngine(second_fails)
    with pytest.raises(EngineFailure):
        await images_of(Service(engine), request_for(1, 2, 3))
    assert engine.running == 0


async def test_closing_early_drops_the_other_images() -> None:
    async def all_but_one_wait(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] != 2:
            await asyncio.Event().wait()

    engine = FakeEngine(all_but_one_wait)
    service = Service(engine)
    async with aclosing(service.images(request_for(1, 2, 3))) as images:
        assert (await anext(images)).result.index == 1
        assert engine.running == 2
        await images.aclose()
        assert engine.running == 0
        assert (service.queue.in_progress, service.queue.depth) == (0, 0)


async def test_the_engine_is_given_what_is_left_of_the_time() -> None:
    engine = FakeEngine()
    now = asyncio.get_running_loop().time()
    assert await images_of(Service(engine), request_for(1), CallContext(deadline=now + 60))
    with pytest.raises(DeadlineExceeded):
        await images_of(Service(engine), request_for(1), CallContext(deadline=now))
    timeout = engine.contexts[0].timeout
    assert timeout is not None
    assert 0 < timeout <= 60
    assert len(engine.contexts) == 1


async def test_the_engine_s_inputs() -> None:
    seen: dict[str, Array] = {}

    async def look(inputs: Mapping[str, Array]) -> None:
        seen.update(inputs)

    request = SynthesisRequest("tiny", RawLabelMap(b"\0\x04", 2, 1), FirstSeed(5), style_strength=0.75)
    await images_of(Service(FakeEngine(look)), request)
    assert {name: (value.dtype.name, value.shape) for name, value in seen.items()} == {
        "LABEL_MAP": ("uint8", (1, 2, 2)),
        "LATENT": ("float32", (1, 3)),
        "STYLE_STRENGTH": ("float32", (1, 1)),
    }
    assert seen["LABEL_MAP"].tolist() == [[[0, 4], [0, 4]]]
    assert seen["STYLE_STRENGTH"].tolist() == [[0.75]]


async def test_warm_up_makes_an_image_with_every_model() -> None:
    engine = FakeEngine()
    service = Service(engine)
    await warm_up(service.runner, service.registry)
    assert len(engine.contexts) == 1


async def test_warm_up_makes_an_image_from_every_kind_of_condition() -> None:
    seen: list[dict[str, tuple[int, ...]]] = []

    async def look(inputs: Mapping[str, Array]) -> None:
        seen.append({name: value.shape for name, value in inputs.items()})

    service = Service(FakeEngine(look, (ENSEMBLE, *OTHER_CONDITIONS)))
    await warm_up(service.runner, service.registry)
    with_strength = {"LATENT": (1, 3), "STYLE_STRENGTH": (1, 1)}
    assert seen == [
        {"LABEL_MAP": (1, 2, 2), **with_strength},
        {"SKETCH": (1, 2, 2), **with_strength},
        {"SCRIBBLE": (1, 2, 2), **with_strength},
        {"TARGET_PROXY_MASK": (1, 2, 3), "LATENT": (1, 3)},
        {"PICTURE": (1, 2, 2, 3), "LATENT": (1, 3)},
    ]


async def test_a_condition_that_the_model_does_not_accept(model: Model) -> None:
    registry = {"tiny": replace(model, conditions={})}
    with pytest.raises(InvalidArgument, match="condition: got label_map; allowed: what tiny accepts"):
        check_request(request_for(1), registry, LIMITS)


async def test_a_request_that_is_not_admitted_is_not_decoded() -> None:
    service = Service(FakeEngine(), concurrency_limit=1, capacity=1)
    undecodable = replace(request_for(1, 2), condition=RawLabelMap(b"", 1, 1))
    held = service.queue.enter("m", 1, caller="other", priority=Priority.INTERACTIVE)
    with pytest.raises(Overloaded, match="the queue holds 1, and it asks for 2"):
        await images_of(service, undecodable)
    service.queue.leave(held)
    with pytest.raises(InvalidArgument, match="label_map"):
        await images_of(service, undecodable)
    assert (service.queue.in_progress, service.queue.depth) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (request_for(1, 2, 3), "latents.latents"),
        (SynthesisRequest("tiny", BLANK, Seeds([1, 2, 3])), "seeds.values"),
        (SynthesisRequest("tiny", BLANK, FirstSeed(1), number_of_images=3), "number_of_images"),
    ],
)
async def test_what_can_never_be_admitted_is_not_called_overload(
    request_: SynthesisRequest, field: str
) -> None:
    service = Service(FakeEngine(), concurrency_limit=1, capacity=1)
    with pytest.raises(InvalidArgument, match=f"{field}: got 3 images; allowed: at most 2") as caught:
        await images_of(service, request_)
    assert caught.value.field == field


async def test_images_wait_for_their_turn() -> None:
    engine = FakeEngine()
    made = await images_of(Service(engine, concurrency_limit=2, capacity=6), request_for(*range(8)))
    assert sorted(image.index for image in made) == list(range(8))
    assert engine.most_running == 2
    assert max(image.timings.queue_wait for image in made) > 0


async def test_a_condition_is_decoded_once_for_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(
        "service.synthesis.images.decode_condition",
        lambda request, _: decoded.append(request) or np.zeros((2, 2), np.uint8),  # type: ignore[func-returns-value]
    )
    made = await images_of(Service(FakeEngine()), request_for(1, 2, 3))
    assert len(decoded) == 1
    assert len({image.timings.decode for image in made}) == 1


def test_latents_of_seeds_never_change(model: Model) -> None:
    """Written out, because a change here would change every image that anyone has kept a seed of."""
    latent = latent_from_seed(7, model)
    assert (latent / model.latent_scale).tolist() == [
        1.6905256509780884,
        -0.46593737602233887,
        0.032820165157318115,
    ]
    assert latent_from_seed(2**32 - 1, model).dtype == np.float32


def test_a_latent_depends_on_its_seed_alone(model: Model) -> None:
    """Of three numbers, an odd count, the generator keeps back a fourth: the next seed must not get it."""
    first = latent_from_seed(1, model)
    latent_from_seed(2, model)
    assert (latent_from_seed(1, model) == first).all()
    fresh = np.random.RandomState(1).standard_normal(3).astype(np.float32) * np.float32(0.5)
    assert (first == fresh).all()


def test_latent_sources(model: Model) -> None:
    def seeds(source: FirstSeed | Seeds | Latents | None, count: int | None = None) -> list[int | None]:
        return [each.seed for each in resolve_latents(source, count, model)]

    assert seeds(FirstSeed(3)) == [3]
    assert seeds(FirstSeed(2**32 - 1), 2) == [2**32 - 1, 0]
    assert seeds(Seeds([4, 4, 1]), 3) == [4, 4, 1]
    assert seeds(Latents([[0, 0, 0]])) == [None]
    drawn = seeds(None, 16)
    assert drawn == [((drawn[0] or 0) + i) % 2**32 for i in range(16)]


@pytest.mark.parametrize("start", [None, FirstSeed(1), Seeds([]), Latents([])], ids=str)
def test_no_latents(model: Model, start: FirstSeed | Seeds | Latents | None) -> None:
    count = 0 if start is None or isinstance(start, FirstSeed) else None
    with pytest.raises(InvalidArgument, match="got 0 images; allowed: 1 to 16 images"):
        resolve_latents(start, count, model)
