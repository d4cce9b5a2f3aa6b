"""The methods of `maskweave.v1.SynthesisService`: proto in, work, proto out."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Mapping
from contextlib import aclosing

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.image import ImageFormat
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits
from service.rpc.admission import Kind
from service.rpc.call import Behaviour, Call, taking
from service.rpc.calls import Calls, HandlerServer
from service.rpc.interceptors import SERVICE_NAME
from service.rpc.messages import replies
from service.rpc.messages.models import model_to_proto
from service.rpc.messages.requests import (
    edit_from_proto,
    encode_styles_from_proto,
    morph_from_proto,
    read_label_map_from_proto,
    synthesis_from_proto,
)
from service.rpc.paint import PaintSessions
from service.synthesis.edits import EditWork
from service.synthesis.images import ImageWork
from service.synthesis.marking import XMP_ONLY, Marking
from service.synthesis.reading import ReadLabelMapWork
from service.synthesis.registry.models import Model
from service.synthesis.requests import SynthesisRequest
from service.synthesis.runner import Runner
from service.synthesis.styles.encoding import EncodeStylesWork
from service.synthesis.validation.edits import check_edit
from service.synthesis.validation.images import check_request, find_model
from service.synthesis.validation.reading import check_reading

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 200

_RGB = 3

# Fields of a reply besides the images.
_REPLY_OVERHEAD_BYTES = 64 * 1024


class SynthesisService:
    """Answers the calls of the service.

    Args:
        runner: Runs the work.
        registry: The models on offer, by name.
        sessions: The sessions of `Paint`.
        max_message_bytes: Largest message that the server takes, to tell callers.
        limits: Bounds of a request.
        marking: How the images are marked.
    """

    def __init__(
        self,
        runner: Runner,
        registry: Mapping[str, Model],
        sessions: PaintSessions,
        *,
        max_message_bytes: int,
        limits: Limits = LIMITS,
        marking: Marking = XMP_ONLY,
    ) -> None:
        self._runner = runner
        self._registry = registry
        self._sessions = sessions
        self._max_message_bytes = max_message_bytes
        self._most_reply_bytes = max_message_bytes - min(_REPLY_OVERHEAD_BYTES, max_message_bytes // 2)
        self._limits = limits
        self._marking = marking

    @property
    def behaviours(self) -> Mapping[str, tuple[Kind, Behaviour]]:
        """What each method takes up, and what answers its calls."""
        return {
            "ListModels": (Kind.LOOKUP, taking(pb.ListModelsRequest, self.list_models)),
            "GetModel": (Kind.LOOKUP, taking(pb.GetModelRequest, self.get_model)),
            "Synthesize": (Kind.WORK, taking(pb.SynthesizeRequest, self.synthesize)),
            "SynthesizeStream": (Kind.WORK, taking(pb.SynthesizeRequest, self.synthesize_stream)),
            "Morph": (Kind.WORK, taking(pb.MorphRequest, self.morph)),
            "Edit": (Kind.WORK, taking(pb.EditRequest, self.edit)),
            "EncodeStyles": (Kind.WORK, taking(pb.EncodeStylesRequest, self.encode_styles)),
            "ReadLabelMap": (Kind.WORK, taking(pb.ReadLabelMapRequest, self.read_label_map)),
            "Paint": (Kind.SESSION, self._sessions.paint),
        }

    def add_to(self, server: HandlerServer, calls: Calls) -> None:
        """Serve every method, as calls of a gateway."""
        calls.serve(server, SERVICE_NAME, self.behaviours)

    async def list_models(self, call: Call, message: pb.ListModelsRequest) -> None:
        """Answer `ListModels`: a page of the models, which starts after the name in the token.

        It has fewer models than were asked for where a message has no room for them.
        """
        if message.page_size < 0:
            raise InvalidArgument("page_size", message.page_size, f"0 to {_MAX_PAGE_SIZE}")
        size = min(message.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
        models = tuple(self._registry.values())
        first = bisect.bisect_right(models, _read_token(message.page_token), key=lambda model: model.name)
        response, last = pb.ListModelsResponse(), first
        for model in models[first : first + size]:
            described = self._describe(model)
            if last > first and response.ByteSize() + described.ByteSize() > self._most_reply_bytes:
                break
            response.models.append(described)
            last += 1
        if last < len(models):
            response.next_page_token = _make_token(models[last - 1].name)
        await call.send(response.SerializeToString())

    async def get_model(self, call: Call, message: pb.GetModelRequest) -> None:
        """Answer `GetModel`."""
        model = find_model(message.name, self._registry, field="name", version=message.version)
        await call.send(pb.GetModelResponse(model=self._describe(model)).SerializeToString())

    async def synthesize(self, call: Call, message: pb.SynthesizeRequest) -> None:
        """Answer `Synthesize`."""
        request = synthesis_from_proto(message)
        work = self._image_work(request)
        self._check_reply(work)
        version = work.request.model.version
        reply = await self._runner.collect(
            work,
            call,
            replies.synthesize_part,
            lambda images: replies.synthesize_end(images, version, call.elapsed_seconds),
        )
        await call.send(reply)

    async def synthesize_stream(self, call: Call, message: pb.SynthesizeRequest) -> None:
        """Answer `SynthesizeStream`."""
        request = synthesis_from_proto(message)
        work = self._image_work(request)
        version = work.request.model.version
        images = self._runner.several(
            work,
            call,
            lambda image: replies.stream_message(image, version, call.elapsed_seconds),
            ordered=False,
        )
        async with aclosing(images):
            async for image in images:
                await call.send(image.message)

    async def morph(self, call: Call, message: pb.MorphRequest) -> None:
        """Answer `Morph`."""
        request = morph_from_proto(message)
        work = self._image_work(request)
        frames = self._runner.several(
            work,
            call,
            lambda image: replies.morph_message(image, work, call.elapsed_seconds),
            ordered=True,
        )
        async with aclosing(frames):
            async for frame in frames:
                await call.send(frame.message)

    async def edit(self, call: Call, message: pb.EditRequest) -> None:
        """Answer `Edit`."""
        request = edit_from_proto(message)
        work = EditWork(check_edit(request, self._registry, self._limits), self._limits, self._marking)
        reply = await self._runner.single(
            work, call, lambda image: replies.edit_message(image, work, call.elapsed_seconds)
        )
        await call.send(reply)

    async def encode_styles(self, call: Call, message: pb.EncodeStylesRequest) -> None:
        """Answer `EncodeStyles`."""
        request = encode_styles_from_proto(message)
        model = find_model(request.model, self._registry, field="model", version=request.model_version)
        work = EncodeStylesWork(request, model, self._limits)
        reply = await self._runner.single(
            work,
            call,
            lambda encoded: replies.encode_styles_message(encoded, model.version, call.elapsed_seconds),
        )
        await call.send(reply)

    async def read_label_map(self, call: Call, message: pb.ReadLabelMapRequest) -> None:
        """Answer `ReadLabelMap`."""
        request = read_label_map_from_proto(message)
        reading = check_reading(request, self._registry, self._limits)
        work = ReadLabelMapWork(reading, self._limits, self._marking)
        reply = await self._runner.single(
            work,
            call,
            lambda read: replies.read_label_map_message(read, reading.model.version, call.elapsed_seconds),
        )
        await call.send(reply)

    def _image_work(self, request: SynthesisRequest) -> ImageWork:
        validated = check_request(request, self._registry, self._limits)
        return ImageWork(validated, self._limits, self._marking)

    def _check_reply(self, work: ImageWork) -> None:
        """Refuse before anything is made what would not fit into a reply.

        Raises:
            InvalidArgument: Raw images are too large together; of other formats nobody knows before.
        """
        model, most = work.request.model, self._max_message_bytes - _REPLY_OVERHEAD_BYTES
        size = work.images * model.image_width * model.image_height * _RGB
        if work.request.image_format is ImageFormat.RAW and size > most:
            each = f"{model.image_width} x {model.image_height} pixels"
            raise InvalidArgument(
                work.images_field,
                f"{work.images} raw images of {each}, {size} bytes",
                f"at most {most} bytes in a reply: fewer images, another image_format or SynthesizeStream",
            )

    def _describe(self, model: Model) -> pb.Model:
        versions = [each.version for each in self._registry[model.name].all_versions]
        return model_to_proto(model, self._limits, self._max_message_bytes, versions)


def _make_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        allowed = "empty, or a next_page_token of ListModels"
        raise InvalidArgument("page_token", repr(token), allowed) from None
