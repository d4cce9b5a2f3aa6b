"""Turns requests into pictures: checks, decodes, runs the ensemble once per picture, encodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.codecs.picture import ImageFormat, encode_picture
from service.core.admission import Admission, Visit
from service.core.limits import LIMITS, Limits
from service.engine.base import Array, Engine, InferenceResult, StageTiming
from service.synthesis import tensors
from service.synthesis.decoding import decode_condition
from service.synthesis.jobs import Job, Picture
from service.synthesis.models import Model
from service.synthesis.orders import Order, check_request, find_model
from service.synthesis.request import Latent, Origin, SynthesisRequest
from service.synthesis.runs import run_model
from service.synthesis.style_mixing import StyleMixer
from service.synthesis.warm_up import sample_conditions


class Synthesizer:
    """Makes the pictures that requests ask for.

    Args:
        engine: Runs the models.
        catalogue: The models on offer, by name.
        codecs: Threads that decode and encode, so that the event loop never does.
        admission: Decides which pictures are made next.
        limits: Bounds of a request.
    """

    def __init__(
        self,
        engine: Engine,
        catalogue: Mapping[str, Model],
        codecs: Executor,
        admission: Admission,
        limits: Limits = LIMITS,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._codecs = codecs
        self._admission = admission
        self._limits = limits

    def models(self) -> tuple[Model, ...]:
        """All models, ordered by name."""
        return tuple(self._catalogue.values())

    def model(self, name: str, *, field: str) -> Model:
        """The model of a name; `field` is where the request has it.

        Raises:
            InvalidArgument: The name is empty.
            NotFound: There is no such model.
        """
        return find_model(name, self._catalogue, field=field)

    def check(self, request: SynthesisRequest) -> Order:
        """Check all of a request but its condition's bytes.

        Raises:
            InvalidArgument: A field has a value that is not allowed, or the model does not accept this
                kind of condition.
            NotFound: There is no such model.
        """
        return check_request(request, self._catalogue, self._limits)

    async def warm_up(self) -> None:
        """Make a picture from every kind of condition with every model: the first caller finds all in place.

        Raises:
            MaskweaveError: A model cannot make pictures; the service is better not started.
        """
        for model in self.models():
            # A latent that no seed gives, so that nothing a caller asks for is in a cache already.
            start = Latent([0.0] * model.latent_size)
            for condition in sample_conditions(model):
                async with self.admitted(SynthesisRequest(model.name, condition, start)) as job:
                    async for _ in self.pictures(job):
                        pass

    @asynccontextmanager
    async def admitted(self, request: SynthesisRequest, origin: Origin = Origin()) -> AsyncIterator[Job]:  # noqa: B008 - frozen
        """Check a request, let it in for as long as this context lasts, and decode its condition.

        What the request cannot have is refused before anything is decoded.

        Raises:
            InvalidArgument: A field has a value that is not allowed, or the model does not accept this
                kind of condition.
            NotFound: There is no such model.
            Overloaded: There is no room, or it would be ready after its deadline.
        """
        arrived = time.perf_counter()
        order = self.check(request)
        loop = asyncio.get_running_loop()
        with self._admission.enter(
            order.support.served_by,  # each kind of condition takes its own time
            len(order.starts),
            caller=origin.caller,
            priority=order.priority,
            seconds_left=origin.seconds_left,
        ) as visit:
            decode = partial(_decode, order, self._limits)
            condition, began, ended = await loop.run_in_executor(self._codecs, decode)
            yield Job(
                model=order.model,
                support=order.support,
                condition=condition,
                starts=order.starts,
                style_strength=order.style_strength,
                styles=self._mixer(order, visit, origin),
                positions=order.styles.positions if order.styles else (),
                image_format=order.image_format,
                image_quality=order.image_quality,
                origin=origin,
                visit=visit,
                queue_seconds=began - arrived,
                decode_seconds=ended - began,
            )

    async def pictures(self, job: Job) -> AsyncGenerator[Picture, None]:
        """Make the pictures side by side and yield each as soon as it is ready.

        Close the generator (`contextlib.aclosing`) to drop what has not been made.

        Raises:
            DeadlineExceeded: The deadline passed.
            Overloaded: The request had to make way for others, or the engine has no room for more.
            Unavailable: The engine is not running or out of reach.
            EngineFailure: A stage failed.
        """
        if len(job.starts) == 1:
            # The usual request: a task and the wait for it would add a tenth to the gateway's own time.
            yield await self._make(job, 0)
            return
        tasks = [asyncio.create_task(self._make(job, index)) for index in range(len(job.starts))]
        try:
            for finished in asyncio.as_completed(tasks):
                yield await finished
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def frames(self, job: Job) -> AsyncGenerator[Picture, None]:
        """Make the pictures side by side and yield them in order, each as soon as it can be.

        Close the generator to drop what has not been made.

        Raises:
            MaskweaveError: As for `pictures`.
        """
        tasks = [asyncio.create_task(self._make(job, index)) for index in range(len(job.starts))]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def picture(self, job: Job) -> Picture:
        """Make the picture of a job that has only one.

        Raises:
            MaskweaveError: As for `pictures`.
        """
        return await self._make(job, 0)

    async def _make(self, job: Job, index: int) -> Picture:
        start = job.starts[index]
        loop = asyncio.get_running_loop()
        arrived = time.perf_counter()
        async with self._admission.turn(job.visit):
            wait_seconds = time.perf_counter() - arrived
            result = await self._infer(job, index)
        pixels = result.outputs[tensors.IMAGE][0]
        encode = partial(_encode, pixels, job.image_format, job.image_quality)
        data, encode_seconds = await loop.run_in_executor(self._codecs, encode)
        height, width, _ = pixels.shape
        return Picture(index, data, width, height, start.seed, wait_seconds, result.timings, encode_seconds)

    async def _infer(self, job: Job, index: int) -> InferenceResult:
        latent = job.starts[index].latent
        inputs: dict[str, Array] = {
            tensors.CONDITIONS[job.support.kind][0]: job.condition[np.newaxis],
            tensors.LATENT: latent[np.newaxis],
        }
        before: tuple[StageTiming, ...] = ()
        if job.style_strength is not None:
            inputs[tensors.STYLE_STRENGTH] = np.array([[job.style_strength]], np.float32)
        if job.styles is not None:
            mixed = await job.styles.mix(index, latent)
            inputs[tensors.GIVEN_STYLES] = mixed.codes[np.newaxis]
            inputs[tensors.STYLE_GIVEN] = mixed.given[np.newaxis]
            before = mixed.timings
        result = await run_model(
            self._engine,
            job.support.served_by,
            inputs,
            [tensors.IMAGE],
            origin=job.origin,
            priority=job.visit.priority,
        )
        return replace(result, timings=before + result.timings) if before else result

    def _mixer(self, order: Order, visit: Visit, origin: Origin) -> StyleMixer | None:
        if order.styles is None or order.model.styles is None:
            return None
        prior = order.model.styles.prior
        outputs = [tensors.JOINT_STYLES, tensors.SINGLE_STYLES]

        async def draw(latent: NDArray[np.float32]) -> InferenceResult:
            inputs = {tensors.LATENT: latent[np.newaxis]}
            return await run_model(
                self._engine, prior, inputs, outputs, origin=origin, priority=visit.priority
            )

        return StyleMixer(order.styles, order.model, draw, self._limits)


def _decode(order: Order, limits: Limits) -> tuple[NDArray[np.uint8], float, float]:
    """Runs on a codec thread. Returns the condition as the model reads it, and when this began and ended."""
    began = time.perf_counter()
    condition = decode_condition(order, limits)
    return condition, began, time.perf_counter()


def _encode(pixels: NDArray[np.uint8], image_format: ImageFormat, quality: int | None) -> tuple[bytes, float]:
    """Runs on a codec thread. Returns the file and the seconds it took."""
    began = time.perf_counter()
    data = encode_picture(pixels, image_format, quality)
    return data, time.perf_counter() - began
