"""The methods of `maskweave.v1.SynthesisService`."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits
from service.core.metrics import Metrics
from service.rpc.calls import SERVER_TIMING, Call
from service.rpc.messages import image_to_proto, model_to_proto
from service.rpc.synthesis_messages import request_from_proto
from service.rpc.timings import record_decode, record_picture, server_timing, tell_timings, timings_to_proto
from service.synthesis.jobs import Job, Picture
from service.synthesis.models import Model
from service.synthesis.synthesizer import Synthesizer

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 200


class SynthesisServicer:
    """Answers the calls; each method takes the request and the call it came with.

    Args:
        synthesizer: Does the work.
        metrics: Counts it.
        max_message_bytes: Largest message that the server takes, to tell callers.
        limits: Bounds of a request, to tell callers.
    """

    def __init__(
        self, synthesizer: Synthesizer, metrics: Metrics, *, max_message_bytes: int, limits: Limits = LIMITS
    ) -> None:
        self._synthesizer = synthesizer
        self._metrics = metrics
        self._max_message_bytes = max_message_bytes
        self._limits = limits

    async def list_models(self, request: pb.ListModelsRequest, _: Call) -> pb.ListModelsResponse:
        """Answer `ListModels`: a page of the models, which starts after the name in the token."""
        if request.page_size < 0:
            raise InvalidArgument("page_size", request.page_size, f"0 to {_MAX_PAGE_SIZE}")
        size = min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
        models = self._synthesizer.models()
        first = bisect.bisect_right(models, _read_token(request.page_token), key=lambda model: model.name)
        page = models[first : first + size]
        more = first + size < len(models)
        return pb.ListModelsResponse(
            models=[self._describe(model) for model in page],
            next_page_token=_make_token(page[-1].name) if more else "",
        )

    async def get_model(self, request: pb.GetModelRequest, _: Call) -> pb.GetModelResponse:
        """Answer `GetModel`."""
        model = self._synthesizer.model(request.name, field="name")
        return pb.GetModelResponse(model=self._describe(model))

    async def synthesize(self, request: pb.SynthesizeRequest, call: Call) -> pb.SynthesizeResponse:
        """Answer `Synthesize`."""
        pictures = []
        async with self._admitted(request, call) as job, aclosing(self._pictures(job)) as finished:
            async for picture in finished:
                pictures.append(picture)  # noqa: PERF401 - closed early when the call is cancelled
        pictures.sort(key=lambda picture: picture.index)
        response = pb.SynthesizeResponse(
            images=[image_to_proto(job, picture) for picture in pictures], model_version=job.model.version
        )
        response.timings.CopyFrom(tell_timings(call, job, pictures))
        return response

    async def synthesize_stream(
        self, request: pb.SynthesizeRequest, call: Call
    ) -> AsyncGenerator[pb.SynthesizeStreamResponse, None]:
        """Answer `SynthesizeStream`."""
        pictures = []
        async with self._admitted(request, call) as job, aclosing(self._pictures(job)) as finished:
            async for picture in finished:
                pictures.append(picture)
                yield pb.SynthesizeStreamResponse(
                    index=picture.index,
                    image=image_to_proto(job, picture),
                    model_version=job.model.version,
                    timings=timings_to_proto(job, [picture], call.elapsed_seconds),
                )
        call.trailer[SERVER_TIMING] = server_timing(job, pictures, call.elapsed_seconds)

    @asynccontextmanager
    async def _admitted(self, request: pb.SynthesizeRequest, call: Call) -> AsyncIterator[Job]:
        async with self._synthesizer.admitted(request_from_proto(request), call.origin) as job:
            record_decode(self._metrics, job)
            yield job

    async def _pictures(self, job: Job) -> AsyncGenerator[Picture, None]:
        async with aclosing(self._synthesizer.pictures(job)) as pictures:
            async for picture in pictures:
                record_picture(self._metrics, job, picture)
                yield picture

    def _describe(self, model: Model) -> pb.Model:
        return model_to_proto(model, self._limits, self._max_message_bytes)


def _make_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        allowed = "empty, or a next_page_token of ListModels"
        raise InvalidArgument("page_token", repr(token), allowed) from None
