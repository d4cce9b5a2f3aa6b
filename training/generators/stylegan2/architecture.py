"""What a StyleGAN2 generator is made of: a few numbers, and the tensors that follow from them.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020), the architecture with
output skips ("skip"), unconditional, three colours. Tensors are named as stylegan2-ada-pytorch names them;
other formats are renamed when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from training.config.sections import Section

RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
COLORS = 3
START = 4
"""Cells per side of the learned constant that synthesis begins with."""
MAX_WIDTH = 1024
MAX_LAYERS = 32

Width = Annotated[int, Field(gt=0, le=MAX_WIDTH)]
Gain = Annotated[float, Field(gt=0, allow_inf_nan=False)]
State = Mapping[str, Tensor]


class Architecture(Section):
    """Sizes of a generator.

    Attributes:
        resolution: pixels per side of an image.
        latent_size: numbers of a latent z.
        style_size: numbers of a style w.
        mapping_layers: fully connected layers from z to w.
        mapping_rate: learning-rate multiplier of these layers, a gain of weights and biases at run time.
        channels: of the features at each resolution.
        clamp: bound on the absolute value of every layer's output; None for none.
    """

    resolution: int
    latent_size: Width
    style_size: Width
    mapping_layers: Annotated[int, Field(gt=0, le=MAX_LAYERS)]
    mapping_rate: Gain
    channels: dict[int, Width]
    clamp: Gain | None

    @field_validator("resolution")
    @classmethod
    def _is_supported(cls, resolution: int) -> int:
        if resolution not in RESOLUTIONS:
            raise ValueError(f"{resolution} is not supported; allowed are {', '.join(map(str, RESOLUTIONS))}")
        return resolution

    @model_validator(mode="after")
    def _has_every_resolution(self) -> Architecture:
        if tuple(sorted(self.channels)) != self.resolutions:
            raise ValueError(
                f"channels: needs the resolutions {list(self.resolutions)}, found {sorted(self.channels)}"
            )
        return self

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Of the blocks, coarse to fine."""
        return tuple(START << i for i in range((self.resolution // START).bit_length()))

    @property
    def layers(self) -> int:
        """Layers that have a style of their own: two a block, and the last block's way to colours."""
        return 2 * len(self.resolutions)


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a generator."""
    style = architecture.style_size
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (style,)}
    inputs = architecture.latent_size
    for i in range(architecture.mapping_layers):
        shapes[f"mapping.fc{i}.weight"] = (style, inputs)
        shapes[f"mapping.fc{i}.bias"] = (style,)
        inputs = style
    inputs = architecture.channels[START]
    shapes["synthesis.b4.const"] = (inputs, START, START)
    for r in architecture.resolutions:
        outputs = architecture.channels[r]
        for name in convolutions(r):
            layer = f"synthesis.b{r}.{name}"
            shapes[f"{layer}.weight"] = (outputs, inputs, 3, 3)
            shapes[f"{layer}.bias"] = (outputs,)
            shapes[f"{layer}.noise_const"] = (r, r)
            shapes[f"{layer}.noise_strength"] = ()
            shapes |= _affine(layer, inputs, style)
            inputs = outputs
        layer = f"synthesis.b{r}.torgb"
        shapes[f"{layer}.weight"] = (COLORS, inputs, 1, 1)
        shapes[f"{layer}.bias"] = (COLORS,)
        shapes |= _affine(layer, inputs, style)
    return shapes


def _affine(layer: str, inputs: int, style: int) -> dict[str, tuple[int, ...]]:
    return {f"{layer}.affine.weight": (inputs, style), f"{layer}.affine.bias": (inputs,)}


def convolutions(resolution: int) -> tuple[str, ...]:
    """Names of a block's 3x3 convolutions: `conv0`, which the coarsest lacks, doubles the resolution."""
    return ("conv1",) if resolution == START else ("conv0", "conv1")


def checked_state(state: State, architecture: Architecture) -> dict[str, Tensor]:
    """The tensors of a generator, in single precision; what else there is is left out.

    Raises:
        ValueError: if a tensor is missing, has another shape, or holds a number that is not finite.
    """
    result: dict[str, Tensor] = {}
    for name, shape in tensor_shapes(architecture).items():
        if name not in state:
            raise ValueError(f"tensor {name!r} is missing")
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"tensor {name!r} has shape {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise ValueError(f"tensor {name!r} is of {tensor.dtype}, allowed is floating point")
        result[name] = tensor.detach().float().contiguous()
        if not result[name].isfinite().all():
            raise ValueError(f"tensor {name!r} holds a number that is not finite")
    return result
