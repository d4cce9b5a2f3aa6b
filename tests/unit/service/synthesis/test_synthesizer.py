"""Requests become pictures, above an engine that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from service.codecs.picture import ImageFormat
from service.core.admission import Admission
from service.core.errors import DeadlineExceeded, EngineFailure, InvalidArgument, Overloaded
from service.engine.base import Array, Priority
from service.synthesis.catalogue import build_catalogue
from service.synthesis.jobs import Picture
from service.synthesis.registry.models import Model
from service.synthesis.request import FirstSeed, Latents, Origin, RawLabelMap, Seeds, SynthesisRequest
from service.synthesis.starts import latent_from_seed, resolve_starts
from service.synthesis.synthesizer import Synthesizer
from tests.support.fake_engine import ENSEMBLE, OTHER_CONDITIONS, FakeEngine

BLANK = RawLabelMap(b"\0", 1, 1)


@pytest.fixture
def codecs() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def model() -> Model:
    return build_catalogue(FakeEngine().models())["tiny"]


def synthesizer_on(engine: FakeEngine, codecs: ThreadPoolExecutor) -> Synthesizer:
    return Synthesizer(engine, build_catalogue(engine.models()), codecs, Admission(slots=8, room=8))


def request_for(*latents: float) -> SynthesisRequest:
    return SynthesisRequest(
        "tiny", BLANK, Latents([[latent, 0, 0] for latent in latents]), image_format=ImageFormat.RAW
    )


async def pictures_of(synthesizer: Synthesizer, request: SynthesisRequest) -> list[Picture]:
    async with synthesizer.admitted(request) as job:
        return [picture async for picture in synthesizer.pictures(job)]


async def test_pictures_are_made_side_by_side(codecs: ThreadPoolExecutor) -> None:
    engine = FakeEngine()
    made = await pictures_of(synthesizer_on(engine, codecs), request_for(1, 2, 3, 4))
    assert sorted((picture.index, picture.data[0]) for picture in made) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert engine.most_running == 4
    assert [context.timeout for context in engine.contexts] == [None] * 4


async def test_what_the_engine_is_told_of_the_request(codecs: ThreadPoolExecutor) -> None:
    synthesizer = synthesizer_on(engine := FakeEngine(), codecs)
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    origin = Origin("somebody", "r-1", asyncio.get_running_loop().time() + 60, trace)
    request = replace(request_for(1), priority=Priority.BATCH)
    async with synthesizer.admitted(request, origin) as job:
        assert [picture async for picture in synthesizer.pictures(job)]
    (context,) = engine.contexts
    assert (context.request_id, context.priority, context.trace) == ("r-1", Priority.BATCH, trace)
    assert context.timeout is not None
    assert 50 < context.timeout <= 60


async def test_a_single_picture_needs_no_task_of_its_own(codecs: ThreadPoolExecutor) -> None:
    tasks = []

    async def look(_: Mapping[str, Array]) -> None:
        tasks.append(asyncio.current_task())

    await pictures_of(synthesizer_on(FakeEngine(look), codecs), request_for(1))
    assert tasks == [asyncio.current_task()]


@pytest.mark.parametrize("latents", [[1], [1, 2, 3]], ids=["one", "several"])
async def test_cancelling_drops_the_pictures(codecs: ThreadPoolExecutor, latents: list[float]) -> None:
    begun = asyncio.Semaphore(0)

    async def wait(_: Mapping[str, Array]) -> None:
        begun.release()
        await asyncio.Event().wait()

    engine = FakeEngine(wait)
    task = asyncio.create_task(pictures_of(synthesizer_on(engine, codecs), request_for(*latents)))
    for _ in latents:
        await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0


async def test_each_picture_comes_as_soon_as_it_is_ready(codecs: ThreadPoolExecutor) -> None:
    release = asyncio.Event()

    async def first_waits(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] == 1:
            await release.wait()

    order = []
    synthesizer = synthesizer_on(FakeEngine(first_waits), codecs)
    async with synthesizer.admitted(request_for(1, 2)) as job:
        async for picture in synthesizer.pictures(job):
            order.append(picture.index)
            release.set()
    assert order == [1, 0]


async def test_a_failure_drops_the_other_pictures(codecs: ThreadPoolExecutor) -> None:
    async def second_fails(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] == 2:
            raise EngineFailure("no")
        await asyncio.Event().wait()

    engine = FakeEngine(second_fails)
    with pytest.raises(EngineFailure):
        await pictures_of(synthesizer_on(engine, codecs), request_for(1, 2, 3))
    assert engine.running == 0


async def test_closing_early_drops_the_other_pictures(codecs: ThreadPoolExecutor) -> None:
    async def all_but_one_wait(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] != 2:
            await asyncio.Event().wait()

    engine = FakeEngine(all_but_one_wait)
    synthesizer = synthesizer_on(engine, codecs)
    async with synthesizer.admitted(request_for(1, 2, 3)) as job:
        pictures = synthesizer.pictures(job)
        assert (await anext(pictures)).index == 1
        assert engine.running == 2
        await pictures.aclose()
        assert engine.running == 0


async def test_the_engine_is_given_what_is_left_of_the_time(codecs: ThreadPoolExecutor) -> None:
    engine = FakeEngine()
    synthesizer = synthesizer_on(engine, codecs)
    now = asyncio.get_running_loop().time()
    async with synthesizer.admitted(request_for(1), Origin(deadline=now + 60)) as job:
        assert [picture async for picture in synthesizer.pictures(job)]
        late = replace(job, origin=Origin(deadline=now))
        with pytest.raises(DeadlineExceeded):
            await anext(synthesizer.pictures(late))
    timeout = engine.contexts[0].timeout
    assert timeout is not None
    assert 0 < timeout <= 60
    assert len(engine.contexts) == 1


async def test_the_engine_s_inputs(codecs: ThreadPoolExecutor) -> None:
    seen: dict[str, Array] = {}

    async def look(inputs: Mapping[str, Array]) -> None:
        seen.update(inputs)

    request = SynthesisRequest("tiny", RawLabelMap(b"\0\x04", 2, 1), FirstSeed(5), style_strength=0.75)
    await pictures_of(synthesizer_on(FakeEngine(look), codecs), request)
    assert {name: (value.dtype.name, value.shape) for name, value in seen.items()} == {
        "LABEL_MAP": ("uint8", (1, 2, 2)),
        "LATENT": ("float32", (1, 3)),
        "STYLE_STRENGTH": ("float32", (1, 1)),
    }
    assert seen["LABEL_MAP"].tolist() == [[[0, 4], [0, 4]]]
    assert seen["STYLE_STRENGTH"].tolist() == [[0.75]]


async def test_warm_up_makes_a_picture_with_every_model(codecs: ThreadPoolExecutor) -> None:
    engine = FakeEngine()
    await synthesizer_on(engine, codecs).warm_up()
    assert len(engine.contexts) == 1


async def test_warm_up_makes_a_picture_from_every_kind_of_condition(codecs: ThreadPoolExecutor) -> None:
    seen: list[dict[str, tuple[int, ...]]] = []

    async def look(inputs: Mapping[str, Array]) -> None:
        seen.append({name: value.shape for name, value in inputs.items()})

    await synthesizer_on(FakeEngine(look, (ENSEMBLE, *OTHER_CONDITIONS)), codecs).warm_up()
    with_strength = {"LATENT": (1, 3), "STYLE_STRENGTH": (1, 1)}
    assert seen == [
        {"LABEL_MAP": (1, 2, 2), **with_strength},
        {"SKETCH": (1, 2, 2), **with_strength},
        {"SCRIBBLE": (1, 2, 2), **with_strength},
        {"TARGET_PROXY_MASK": (1, 2, 3), "LATENT": (1, 3)},
        {"PICTURE": (1, 2, 2, 3), "LATENT": (1, 3)},
    ]


async def test_a_condition_that_the_model_does_not_accept(model: Model, codecs: ThreadPoolExecutor) -> None:
    catalogue = {"tiny": replace(model, conditions={})}
    without = Synthesizer(FakeEngine(), catalogue, codecs, Admission(slots=1, room=0))
    with pytest.raises(InvalidArgument, match="condition: got label_map; allowed: what tiny accepts"):
        await pictures_of(without, request_for(1))


async def test_a_request_that_is_not_let_in_is_not_decoded(codecs: ThreadPoolExecutor, model: Model) -> None:
    synthesizer = Synthesizer(FakeEngine(), {"tiny": model}, codecs, Admission(slots=1, room=0))
    undecodable = replace(request_for(1, 2), condition=RawLabelMap(b"", 1, 1))
    with pytest.raises(Overloaded, match="there is room for 0, and it asks for 2"):
        await pictures_of(synthesizer, undecodable)


async def test_pictures_wait_for_their_turn(codecs: ThreadPoolExecutor, model: Model) -> None:
    engine = FakeEngine()
    synthesizer = Synthesizer(engine, {"tiny": model}, codecs, Admission(slots=2, room=6))
    made = await pictures_of(synthesizer, request_for(*range(8)))
    assert sorted(picture.index for picture in made) == list(range(8))
    assert engine.most_running == 2
    assert max(picture.wait_seconds for picture in made) > 0


def test_latents_of_seeds_never_change(model: Model) -> None:
    """Written out, because a change here would change every picture that anyone has kept a seed of."""
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


def test_starts(model: Model) -> None:
    def seeds(start: FirstSeed | Seeds | Latents | None, count: int | None = None) -> list[int | None]:
        return [each.seed for each in resolve_starts(start, count, model)]

    assert seeds(FirstSeed(3)) == [3]
    assert seeds(FirstSeed(2**32 - 1), 2) == [2**32 - 1, 0]
    assert seeds(Seeds([4, 4, 1]), 3) == [4, 4, 1]
    assert seeds(Latents([[0, 0, 0]])) == [None]
    drawn = seeds(None, 16)
    assert drawn == [((drawn[0] or 0) + i) % 2**32 for i in range(16)]


@pytest.mark.parametrize("start", [None, FirstSeed(1), Seeds([]), Latents([])], ids=str)
def test_no_starts(model: Model, start: FirstSeed | Seeds | Latents | None) -> None:
    count = 0 if start is None or isinstance(start, FirstSeed) else None
    with pytest.raises(InvalidArgument, match="got 0 images; allowed: 1 to 16 images"):
        resolve_starts(start, count, model)
