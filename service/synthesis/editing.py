"""Edits: makes what changed anew and blends it into what was there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.codecs.blending import blend
from service.codecs.label_map import resize_nearest
from service.codecs.picture import encode_picture
from service.core.admission import Admission, Visit
from service.core.limits import LIMITS, Limits
from service.engine.base import Array, Engine, StageTiming
from service.synthesis import tensors
from service.synthesis.decoding import decode_label_map, decode_source_picture
from service.synthesis.edit_orders import EditOrder, check_edit
from service.synthesis.edit_requests import Edit, EditRequest
from service.synthesis.jobs import Picture
from service.synthesis.models import Model
from service.synthesis.request import EncodedPicture, LabelMap, Origin
from service.synthesis.runs import run_model
from service.synthesis.warm_up import blank_label_map, grey_picture

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Decoded:
    """An order whose bytes were read.

    Attributes:
        target: Class ids, uint8 `[height, width]`, at the size the model reads.
        source: The same of what is there; None if all of it is made anew.
        picture: RGB, uint8 `[height, width, 3]`; None if it is made from a seed.
        began: When reading began.
        ended: When it ended.
    """

    target: Pixels
    source: Pixels | None
    picture: Pixels | None
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class _Made:
    """What the models made of one label map.

    Attributes:
        pixels: RGB, uint8 `[height, width, 3]`.
        wait_seconds: Time it waited for its turn.
        stages: Time of each stage.
    """

    pixels: Pixels
    wait_seconds: float = 0.0
    stages: tuple[StageTiming, ...] = ()


class Editor:
    """Edits the pictures that callers send, and those that come from their seeds.

    Args:
        engine: Runs the models.
        catalogue: The models on offer, by name.
        codecs: Threads that decode, blend and encode.
        admission: Decides what is done next.
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

    async def warm_up(self) -> None:
        """Edit a grey picture with every model that edits pictures.

        Raises:
            MaskweaveError: A model cannot edit pictures; the service is better not started.
        """
        for model in self._catalogue.values():
            if model.editing is not None and model.editing.editor is not None:
                picture = grey_picture(width=model.image_width, height=model.image_height)
                blank = blank_label_map(model, width=1, height=1)
                await self.edit(EditRequest(model.name, picture, blank))

    async def edit(self, request: EditRequest, origin: Origin = Origin()) -> Edit:  # noqa: B008 - frozen
        """Edit one picture.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
            NotFound: There is no such model.
            DeadlineExceeded: The deadline passed.
            Overloaded: There is no room, or it would be ready after its deadline.
            Unavailable: The engine is not running or out of reach.
            EngineFailure: A stage failed.
        """
        arrived = time.perf_counter()
        order = check_edit(request, self._catalogue, self._limits)
        loop = asyncio.get_running_loop()
        with self._admission.enter(
            order.served_by,
            order.pictures,
            caller=origin.caller,
            priority=order.request.priority,
            seconds_left=origin.seconds_left,
        ) as visit:
            decoded = await loop.run_in_executor(self._codecs, partial(_decode, order, self._limits))
            after = await self._make(order, decoded, decoded.target, visit, origin)
            before = None
            if decoded.source is not None:
                before = (
                    _Made(decoded.picture)
                    if decoded.picture is not None
                    else await self._make(order, decoded, decoded.source, visit, origin)
                )
        finish = partial(_finish, order, decoded, before, after)
        data, encode_seconds = await loop.run_in_executor(self._codecs, finish)
        seed = None if order.start is None else order.start.seed
        height, width, _ = after.pixels.shape

        def picture(index: int, made: _Made, encode_seconds: float) -> Picture:
            return Picture(index, data, width, height, seed, made.wait_seconds, made.stages, encode_seconds)

        return Edit(
            model=order.model,
            picture=picture(0, after, encode_seconds),
            before=picture(1, before, 0.0) if before is not None and before.stages else None,
            image_format=request.image_format,
            queue_seconds=decoded.began - arrived,
            decode_seconds=decoded.ended - decoded.began,
        )

    async def _make(
        self, order: EditOrder, decoded: _Decoded, label_map: Pixels, visit: Visit, origin: Origin
    ) -> _Made:
        inputs: dict[str, Array] = {tensors.LABEL_MAP: label_map[np.newaxis]}
        if order.style_strength is not None:
            inputs[tensors.STYLE_STRENGTH] = np.array([[order.style_strength]], np.float32)
        if order.start is not None:
            inputs[tensors.LATENT] = order.start.latent[np.newaxis]
        else:
            assert decoded.picture is not None
            inputs[tensors.PICTURE] = decoded.picture[np.newaxis]
        entered = time.perf_counter()
        async with self._admission.turn(visit):
            waited = time.perf_counter() - entered
            result = await run_model(
                self._engine,
                order.served_by,
                inputs,
                [tensors.IMAGE],
                origin=origin,
                priority=visit.priority,
            )
        return _Made(result.outputs[tensors.IMAGE][0], waited, result.timings)


def _decode(order: EditOrder, limits: Limits) -> _Decoded:
    """Runs on a codec thread."""
    began = time.perf_counter()
    request = order.request
    picture = (
        decode_source_picture(request.source, order.model, limits)
        if isinstance(request.source, EncodedPicture)
        else None
    )

    def read(label_map: LabelMap, field: str) -> Pixels:
        ids = decode_label_map(label_map, order.model, limits, field=field)
        return resize_nearest(ids, order.support.width, order.support.height)

    target = read(request.target_label_map, "target_label_map")
    source = None if request.source_label_map is None else read(request.source_label_map, "source_label_map")
    return _Decoded(target, source, picture, began, time.perf_counter())


def _finish(order: EditOrder, decoded: _Decoded, before: _Made | None, after: _Made) -> tuple[bytes, float]:
    """Runs on a codec thread. Returns the file, and the seconds that blending and writing it took."""
    began = time.perf_counter()
    pixels = after.pixels
    if before is not None and decoded.source is not None:
        height, width, _ = pixels.shape
        changed = resize_nearest((decoded.source != decoded.target).astype(np.uint8), width, height)
        pixels = blend(before.pixels, after.pixels, changed.astype(np.bool_), order.blend_width)
    data = encode_picture(pixels, order.request.image_format, order.request.image_quality)
    return data, time.perf_counter() - began
