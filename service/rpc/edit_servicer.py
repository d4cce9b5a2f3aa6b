"""The method `Edit`."""

from __future__ import annotations

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.metrics import Metrics
from service.rpc.calls import Call
from service.rpc.messages import (
    ids_from_proto,
    image_format_from_proto,
    image_to_proto,
    members,
    picture_from_proto,
    priority_from_proto,
)
from service.rpc.timings import ENCODE, record_decode, record_stages, tell_timings
from service.synthesis.edit_requests import EditRequest
from service.synthesis.editing import Editor
from service.synthesis.request import EncodedPicture, FirstSeed, Latent, OneStart

EDIT = "edit"
"""What images are counted as that an edit made, where others have their kind of condition."""


class EditServicer:
    """Answers the calls; the method takes the request and the call it came with.

    Args:
        editor: Makes the edits.
        metrics: Counts the work.
    """

    def __init__(self, editor: Editor, metrics: Metrics) -> None:
        self._editor = editor
        self._metrics = metrics

    async def edit(self, request: pb.EditRequest, call: Call) -> pb.EditResponse:
        """Answer `Edit`."""
        edit = await self._editor.edit(_edit_from_proto(request), call.origin)
        made = [edit.picture] if edit.before is None else [edit.picture, edit.before]
        record_decode(self._metrics, edit)
        for each in made:
            record_stages(self._metrics, edit.model.name, each)
        self._metrics.stage(ENCODE, edit.picture.encode_seconds)
        self._metrics.image_made(edit.model.name, EDIT, edit.image_format.value)
        return pb.EditResponse(
            image=image_to_proto(edit, edit.picture),
            model_version=edit.model.version,
            timings=tell_timings(call, edit, made),
        )


def _edit_from_proto(message: pb.EditRequest) -> EditRequest:
    if not message.HasField("target_label_map"):
        raise InvalidArgument("target_label_map", "no label map", "what the picture is to show")
    return EditRequest(
        model=message.model,
        source=_source(message),
        target_label_map=ids_from_proto(message.target_label_map, field="target_label_map"),
        source_label_map=ids_from_proto(message.source_label_map, field="source_label_map")
        if message.HasField("source_label_map")
        else None,
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        blend_width=message.blend_width if message.HasField("blend_width") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
    )


def _source(message: pb.EditRequest) -> EncodedPicture | OneStart:
    match message.WhichOneof("source"):
        case "picture":
            return picture_from_proto(message.picture)
        case "seed":
            return FirstSeed(message.seed)
        case "latent":
            return Latent(message.latent.values)
    raise InvalidArgument("source", "no source", f"one of {members(message, 'source')}")
