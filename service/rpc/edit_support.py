"""What callers are told of the edits that a model takes."""

from __future__ import annotations

from maskweave.v1 import synthesis_pb2 as pb
from service.core.limits import Limits
from service.synthesis.edit_orders import DEFAULT_BLEND_WIDTH
from service.synthesis.models import EditSupport


def editing_to_proto(editing: EditSupport, limits: Limits) -> pb.EditSupport:
    """Describe how a model is edited."""
    return pb.EditSupport(
        pictures=editing.editor is not None,
        default_blend_width=DEFAULT_BLEND_WIDTH,
        max_blend_width=limits.max_blend_width,
    )
