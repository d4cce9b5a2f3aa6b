"""What one model of the repository offers to callers, read from its parameters and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    Json,
    ValidationError,
)

from service.codecs.scribble import NOT_DRAWN
from service.engine.base import ModelInfo
from service.synthesis.registry import tensors
from service.synthesis.registry.models import (
    ConditionKind,
    ConditionSupport,
    Layout,
    Method,
    Model,
    PaletteClass,
    StyleStrengthRange,
    StyleSupport,
)
from service.synthesis.registry.tensors import Diagnostic, MetadataError, Shapes

PREFIX = "maskweave."
"""What the parameters that this service reads begin with."""

_RGB = 3


def read_metadata(info: ModelInfo, models: Mapping[str, ModelInfo]) -> Model:
    """Read what a model offers.

    Args:
        info: The model.
        models: All models that are ready, among them those that it names.

    Raises:
        MetadataError: Its parameters or tensors are not what this service understands.
    """
    parameters = _read_parameters(info)
    sizes = _read_tensors(info, parameters)
    support = ConditionSupport(
        served_by=info.name,
        layout=Layout.ENSEMBLE if info.steps else Layout.FUSED,
        height=sizes.condition[0],
        width=sizes.condition[1],
        style_strength=parameters.style_strength if parameters.has_style_strength else None,
        kind=parameters.condition,
        proxy_clusters=parameters.proxy_clusters or 0,
    )
    model = Model(
        name=parameters.pack,
        title=parameters.title,
        description=parameters.description,
        version=parameters.model_version,
        palette=parameters.palette,
        conditions=MappingProxyType({parameters.condition: support}),
        image_height=sizes.image[0],
        image_width=sizes.image[1],
        latent_size=sizes.latent,
        latent_scale=parameters.latent_scale,
        method=parameters.method,
        styles=parameters.styles,
    )
    if model.styles is not None:
        _check_beside(model, model.styles, support, models)
    return model


def _ordered_and_unique(palette: tuple[PaletteClass, ...]) -> tuple[PaletteClass, ...]:
    if not palette:
        raise ValueError("at least one class is needed")
    for attribute in ("id", "name", "color"):
        if len({getattr(entry, attribute) for entry in palette}) != len(palette):
            raise ValueError(f"each {attribute} may occur once")
    return tuple(sorted(palette, key=lambda entry: entry.id))


def _count_up(styles: tuple[int, ...]) -> tuple[int, ...]:
    if set(styles) != set(range(max(styles) + 1)):
        raise ValueError("styles must count up from 0")
    return styles


_StyleClasses = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(lambda text: text.split(",") if isinstance(text, str) else text),
    AfterValidator(_count_up),
]
_ModelName = Annotated[str, Field(min_length=1)]

# What stands in image files, in messages and in every answer: a segment of JPEG has 64 KiB, a trailer 8 KiB.
_MAX_NAME_CHARS = 128
_MAX_TITLE_CHARS = 256
_MAX_DESCRIPTION_CHARS = 4096


class _Parameters(BaseModel):
    """The model's parameters without their prefix."""

    model_config = ConfigDict(frozen=True)

    pack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=_MAX_NAME_CHARS)]
    method: Method = Method.SIS_UG
    condition: ConditionKind
    title: Annotated[str, Field(min_length=1, max_length=_MAX_TITLE_CHARS)]
    description: Annotated[str, Field(max_length=_MAX_DESCRIPTION_CHARS)]
    palette: Json[Annotated[tuple[PaletteClass, ...], AfterValidator(_ordered_and_unique)]]
    latent_scale: Annotated[FiniteFloat, Field(gt=0)]
    style_strength: Json[StyleStrengthRange] | None = None
    style_encoder: _ModelName | None = None
    style_prior: _ModelName | None = None
    style_classes: _StyleClasses | None = None
    style_size: Annotated[int, Field(ge=1)] | None = None
    proxy_clusters: Annotated[int, Field(ge=1, le=256)] | None = None
    model_version: Annotated[
        str, Field(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$", max_length=_MAX_NAME_CHARS)
    ]

    @property
    def has_style_strength(self) -> bool:
        """Whether the model takes a style strength."""
        return self.method is Method.SIS_UG and self.condition.has_style_strength

    @property
    def styles(self) -> StyleSupport | None:
        """The styles, for the methods that have them."""
        if self.method is not Method.GROUPDNET:
            return None
        assert self.style_encoder is not None
        assert self.style_prior is not None
        assert self.style_classes is not None
        assert self.style_size is not None
        return StyleSupport(
            encoder=self.style_encoder,
            prior=self.style_prior,
            size=self.style_size,
            style_of_class=MappingProxyType(
                {entry.id: style for entry, style in zip(self.palette, self.style_classes, strict=True)}
            ),
        )

    def check_method(self) -> Self:
        """Check that what the method and the condition need is there.

        Raises:
            MetadataError: A parameter is missing, the styles are not one for each class, or the condition
                does not go with the method or the palette.
        """
        method, kind = f"the method {self.method.value}", f"the condition {self.condition.value}"
        needed = {"style_strength": method} if self.has_style_strength else {}
        if self.method is Method.GROUPDNET:
            needed |= dict.fromkeys(("style_encoder", "style_prior", "style_classes", "style_size"), method)
        if self.condition is ConditionKind.PROXY_MASK:
            needed["proxy_clusters"] = kind
        diagnostics = [
            Diagnostic(f'parameters["{PREFIX}{name}"]', "missing", f"needed for {reason}")
            for name, reason in needed.items()
            if getattr(self, name) is None
        ]
        if self.method is Method.GROUPDNET and self.condition is not ConditionKind.LABEL_MAP:
            diagnostics.append(
                Diagnostic(
                    f'parameters["{PREFIX}condition"]',
                    f"got {self.condition.value!r}",
                    f"{ConditionKind.LABEL_MAP.value!r} for {method}",
                )
            )
        if self.condition is ConditionKind.SCRIBBLE and any(each.id == NOT_DRAWN for each in self.palette):
            diagnostics.append(
                Diagnostic(
                    f'parameters["{PREFIX}palette"]',
                    f"has the id {NOT_DRAWN}",
                    f"other ids, for {kind}: {NOT_DRAWN} stands for what is not drawn",
                )
            )
        if self.style_classes is not None and len(self.style_classes) != len(self.palette):
            diagnostics.append(
                Diagnostic(
                    f'parameters["{PREFIX}style_classes"]',
                    f"{len(self.style_classes)} styles",
                    f"one for each of the {len(self.palette)} classes of the palette",
                )
            )
        if diagnostics:
            raise MetadataError(diagnostics)
        return self


def _read_parameters(info: ModelInfo) -> _Parameters:
    ours = {
        key.removeprefix(PREFIX): value for key, value in info.parameters.items() if key.startswith(PREFIX)
    }
    try:
        return _Parameters.model_validate(ours).check_method()
    except ValidationError as error:
        raise MetadataError(
            Diagnostic(
                f'parameters["{PREFIX}{found["loc"][0]}"]' + "".join(f"[{key}]" for key in found["loc"][1:]),
                "missing" if found["type"] == "missing" else f"got {_shortened(repr(found['input']))}",
                found["msg"],
            )
            for found in error.errors(include_url=False, include_context=False)
        ) from error


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TITLE_CHARS else f"{text[:_MAX_TITLE_CHARS]}... ({len(text)} characters)"


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The model's sizes, read from its tensors."""

    condition: tuple[int, int]
    latent: int
    image: tuple[int, int]


def _read_tensors(info: ModelInfo, parameters: _Parameters) -> _Tensors:
    shapes = Shapes(info)
    name, dims = tensors.CONDITIONS[parameters.condition]
    condition = shapes.input(name, np.uint8, dims)
    if parameters.styles is None:
        latent = shapes.input(tensors.LATENT, np.float32, "[latent_size]")
        if parameters.has_style_strength:
            shapes.input(tensors.STYLE_STRENGTH, np.float32, "[1]")
    else:
        count, size = parameters.styles.count, parameters.styles.size
        latent = shapes.input(tensors.LATENT, np.float32, f"[{count * size}]")
        shapes.input(tensors.GIVEN_STYLES, np.float32, f"[{count}, {size}]")
        shapes.input(tensors.STYLE_GIVEN, np.uint8, f"[{count}]")
    image = shapes.output(tensors.IMAGE, np.uint8, f"[height, width, {_RGB}]")
    if shapes.diagnostics:
        raise MetadataError(shapes.diagnostics)
    return _Tensors((condition[0], condition[1]), latent[0], (image[0], image[1]))


def _check_beside(
    model: Model, styles: StyleSupport, condition: ConditionSupport, models: Mapping[str, ModelInfo]
) -> None:
    """Check the models that stand beside the one that is offered: the encoder and the prior."""
    codes = f"[{styles.count}, {styles.size}]"
    diagnostics: list[Diagnostic] = []
    for parameter, name in (("style_encoder", styles.encoder), ("style_prior", styles.prior)):
        if name not in models:
            allowed = "a model of the repository"
            diagnostics.append(Diagnostic(f'parameters["{PREFIX}{parameter}"]', f"got {name!r}", allowed))
            continue
        shapes = Shapes(models[name])
        if parameter == "style_encoder":
            image = f"[{model.image_height}, {model.image_width}, {_RGB}]"
            shapes.input(tensors.PICTURE, np.uint8, image)
            shapes.input(tensors.LABEL_MAP, np.uint8, f"[{condition.height}, {condition.width}]")
            shapes.output(tensors.STYLE_MEAN, np.float32, codes)
            shapes.output(tensors.STYLE_LOG_VARIANCE, np.float32, codes)
        else:
            shapes.input(tensors.LATENT, np.float32, f"[{model.latent_size}]")
            shapes.output(tensors.JOINT_STYLES, np.float32, codes)
            shapes.output(tensors.SINGLE_STYLES, np.float32, codes)
        diagnostics += shapes.diagnostics
    if diagnostics:
        raise MetadataError(diagnostics)
