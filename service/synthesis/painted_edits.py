"""What is edited while its target label map is painted: checked once, and read or made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.synthesis.canvas import Drawing
from service.synthesis.conditions.types import EncodedImage, LabelMap
from service.synthesis.edits import Pixels
from service.synthesis.frames import CanvasEditWork, in_edit
from service.synthesis.marking import Marking
from service.synthesis.registry.models import Model
from service.synthesis.requests import EditRequest, FirstSeed, Latent, SynthesisRequest
from service.synthesis.validation.edits import check_edit


@dataclass(frozen=True, slots=True)
class PaintedEdit:
    """What is edited while its target label map is painted, as the caller says it.

    Attributes:
        image: The image; None for what the painting's latent gives.
        source_label_map: What it shows now; None if all of it is to be made anew.
        blend_width: Width of the soft edge in pixels; None for the default.
    """

    image: EncodedImage | None = None
    source_label_map: LabelMap | None = None
    blend_width: float | None = None


class EditInProgress:
    """The edit of one painting.

    Args:
        edit: What is edited.
        request: Of the painting, with a latent source and a label map.
        registry: The models on offer.
        limits: Bounds of what is decoded.

    Raises:
        InvalidArgument: The model cannot be edited in this way, or the canvas is no label map.
    """

    def __init__(
        self, edit: PaintedEdit, request: SynthesisRequest, registry: Mapping[str, Model], limits: Limits
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._before: Pixels | None = None
        if not isinstance(request.condition, LabelMap):
            raise InvalidArgument("edit", "an edit on a sketch or a scribble", "a label_map as the canvas")
        whole = EditRequest(
            model=request.model,
            source=_start(request) if edit.image is None else edit.image,
            target_label_map=request.condition,
            source_label_map=edit.source_label_map,
            style_strength=request.style_strength,
            blend_width=edit.blend_width,
            model_version=request.model_version,
            image_format=request.image_format,
            image_quality=request.image_quality,
            priority=request.priority,
        )
        try:
            self._edit = check_edit(whole, registry, limits)
        except InvalidArgument as error:
            raise in_edit(error) from error

    @property
    def of_an_image(self) -> bool:
        """Whether an image that was sent is edited, and not what a latent gives."""
        return self._edit.latent is None

    @property
    def nbytes(self) -> int:
        """About what it holds in memory, once the caller's own bytes are gone."""
        return 0 if self._before is None else 2 * self._before.nbytes  # and its label map

    def start_from(self, request: SynthesisRequest) -> None:
        """Take the latent and the style strength of the painting from now on.

        Raises:
            InvalidArgument: They are not allowed.
        """
        edit = replace(self._edit.request, style_strength=request.style_strength)
        if not self.of_an_image:
            edit = replace(edit, source=_start(request))
            self._before = None
        self._edit = check_edit(edit, self._registry, self._limits)

    def work(self, drawing: Drawing, marking: Marking) -> CanvasEditWork:
        """The next frame."""
        return CanvasEditWork(self._edit, drawing, self._before, self._limits, marking)

    def keep(self, work: CanvasEditWork) -> None:
        """Keep what a frame has read or made in place of what came, unless another edit has begun."""
        if work.given is self._edit and (work.before is not None or not self.of_an_image):
            self._edit, self._before = work.kept, work.before


def _start(request: SynthesisRequest) -> FirstSeed | Latent:
    assert isinstance(request.latent_source, FirstSeed | Latent)
    return request.latent_source
