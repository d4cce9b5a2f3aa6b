"""Warms the models up: the least of every kind of condition and blank images, on the path of all requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from service.core.limits import LIMITS
from service.synthesis.conditions.types import (
    Condition,
    Exemplar,
    ProxyMask,
    RawImage,
    RawLabelMap,
    RawSketch,
    Scribble,
    Sketch,
)
from service.synthesis.edits import EditWork
from service.synthesis.images import ImageWork
from service.synthesis.reading import ReadLabelMapWork
from service.synthesis.registry.models import ConditionKind, Model
from service.synthesis.requests import (
    CallContext,
    EditRequest,
    EncodeStylesRequest,
    Latent,
    ReadLabelMapRequest,
    SynthesisRequest,
)
from service.synthesis.runner import Runner
from service.synthesis.styles.encoding import EncodeStylesWork
from service.synthesis.validation.edits import check_edit
from service.synthesis.validation.images import check_request
from service.synthesis.validation.reading import check_reading
from service.synthesis.work import Work

_GREY = 128


async def warm_up(runner: Runner, registry: Mapping[str, Model]) -> None:
    """Do the least of everything that every model can do: the first caller finds all in place.

    Raises:
        MaskweaveError: A model cannot do it; the service is better not started.
    """
    for model in (each for default in registry.values() for each in default.all_versions):
        for work in chain(
            _images(model, registry), _styles(model), _edits(model, registry), _readings(model, registry)
        ):
            await runner.single(work, CallContext(), lambda _: b"")


def _images(model: Model, registry: Mapping[str, Model]) -> Iterator[Work[object]]:
    # A latent that no seed gives, so that nothing a caller asks for is in a cache already.
    latent = Latent([0.0] * model.latent_size)
    for condition in sample_conditions(model):
        request = SynthesisRequest(model.name, condition, latent, model_version=model.version)
        yield ImageWork(check_request(request, registry, LIMITS))


def _styles(model: Model) -> Iterator[Work[object]]:
    if model.styles is not None:
        width, height = model.image_width, model.image_height
        blank = blank_label_map(model, width=width, height=height)
        image = grey_image(width=width, height=height)
        yield EncodeStylesWork(EncodeStylesRequest(model.name, image, blank), model)


def _edits(model: Model, registry: Mapping[str, Model]) -> Iterator[Work[object]]:
    if model.editing is not None and model.editing.editor is not None:
        image = grey_image(width=model.image_width, height=model.image_height)
        blank = blank_label_map(model, width=1, height=1)
        request = EditRequest(model.name, image, blank, model_version=model.version)
        yield EditWork(check_edit(request, registry, LIMITS))


def _readings(model: Model, registry: Mapping[str, Model]) -> Iterator[Work[object]]:
    sources: list[RawImage | Latent] = []
    if model.reading is not None and model.reading.of_images is not None:
        sources.append(grey_image(width=model.image_width, height=model.image_height))
    if model.reading is not None and model.reading.of_latents is not None:
        sources.append(Latent([0.0] * model.latent_size))
    for source in sources:
        request = ReadLabelMapRequest(model.name, source, model_version=model.version)
        yield ReadLabelMapWork(check_reading(request, registry, LIMITS))


def sample_conditions(model: Model) -> Iterator[Condition]:
    """One condition of each kind that a model accepts."""
    blank = blank_label_map(model, width=1, height=1)
    for kind, support in model.conditions.items():
        match kind:
            case ConditionKind.LABEL_MAP:
                yield blank
            case ConditionKind.SKETCH:
                yield Sketch(RawSketch(bytes([0, 255]), width=2, height=1))
            case ConditionKind.SCRIBBLE:
                yield Scribble(blank)
            case ConditionKind.PROXY_MASK:
                cells = bytes(support.width * support.height)
                yield ProxyMask(RawLabelMap(cells, support.width, support.height))
            case ConditionKind.EXEMPLAR:
                yield Exemplar(grey_image(width=1, height=1))


def blank_label_map(model: Model, *, width: int, height: int) -> RawLabelMap:
    """A label map of one class."""
    return RawLabelMap(bytes([model.class_ids[0]]) * (width * height), width, height)


def grey_image(*, width: int, height: int) -> RawImage:
    """An image of one grey."""
    return RawImage(bytes([_GREY] * 3) * (width * height), width, height)
