"""The methods that are about styles: `EncodeStyles` and `Morph`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.metrics import Metrics
from service.rpc.calls import SERVER_TIMING, Call
from service.rpc.messages import (
    ids_from_proto,
    image_format_from_proto,
    image_to_proto,
    one_start_from_proto,
    picture_from_proto,
    priority_from_proto,
)
from service.rpc.style_messages import StylesOfMessage, codes_to_proto, is_spherical
from service.rpc.timings import (
    record_decode,
    record_picture,
    record_stages,
    server_timing,
    tell_timings,
    timings_to_proto,
)
from service.synthesis.request import SynthesisRequest
from service.synthesis.style_encoding import EncodingRequest, StyleEncoder
from service.synthesis.style_requests import MorphStyles
from service.synthesis.synthesizer import Synthesizer


class StyleServicer:
    """Answers the calls; each method takes the request and the call it came with.

    Args:
        encoder: Reads pictures.
        synthesizer: Makes pictures.
        metrics: Counts the work.
    """

    def __init__(self, encoder: StyleEncoder, synthesizer: Synthesizer, metrics: Metrics) -> None:
        self._encoder = encoder
        self._synthesizer = synthesizer
        self._metrics = metrics

    async def encode_styles(self, request: pb.EncodeStylesRequest, call: Call) -> pb.EncodeStylesResponse:
        """Answer `EncodeStyles`."""
        encoding = await self._encoder.encode(_encoding_from_proto(request), call.origin)
        record_decode(self._metrics, encoding)
        record_stages(self._metrics, encoding.model.name, encoding)
        return pb.EncodeStylesResponse(
            codes=codes_to_proto(encoding),
            model_version=encoding.model.version,
            timings=tell_timings(call, encoding, [encoding]),
        )

    async def morph(self, request: pb.MorphRequest, call: Call) -> AsyncGenerator[pb.MorphResponse, None]:
        """Answer `Morph`."""
        pictures = []
        morph = _morph_from_proto(request)
        async with (
            self._synthesizer.admitted(morph, call.origin) as job,
            aclosing(self._synthesizer.frames(job)) as frames,
        ):
            record_decode(self._metrics, job)
            async for picture in frames:
                pictures.append(picture)
                record_picture(self._metrics, job, picture)
                yield pb.MorphResponse(
                    index=picture.index,
                    position=job.positions[picture.index],
                    image=image_to_proto(job, picture),
                    model_version=job.model.version,
                    timings=timings_to_proto(job, [picture], call.elapsed_seconds),
                )
        call.trailer[SERVER_TIMING] = server_timing(job, pictures, call.elapsed_seconds)


def _encoding_from_proto(message: pb.EncodeStylesRequest) -> EncodingRequest:
    for field in ("picture", "label_map"):
        if not message.HasField(field):
            raise InvalidArgument(field, f"no {field}", "a picture and its label map")
    return EncodingRequest(
        model=message.model,
        picture=picture_from_proto(message.picture),
        label_map=ids_from_proto(message.label_map),
        sample_seed=message.sample_seed if message.HasField("sample_seed") else None,
        priority=priority_from_proto(message.priority),
    )


def _morph_from_proto(message: pb.MorphRequest) -> SynthesisRequest:
    if not message.HasField("label_map"):
        raise InvalidArgument("label_map", "no label map", "what the frames follow")
    return SynthesisRequest(
        model=message.model,
        condition=ids_from_proto(message.label_map),
        start=one_start_from_proto(message),
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        styles=MorphStyles(
            from_styles=StylesOfMessage(message.from_styles),
            to_styles=StylesOfMessage(message.to_styles),
            frames=message.number_of_frames,
            first=message.first_position if message.HasField("first_position") else 0.0,
            last=message.last_position if message.HasField("last_position") else 1.0,
            spherical=is_spherical(message.path),
        ),
    )
