"""What the configs of the small `faces64` are written of: its tensors, steps and ensembles."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.model_repository import ONE_INSTANCE, RepositoryWriter, step_text, tensor_text
from tests.support.small_pack import LATENT_SIZE, pack_parameters

START = f'backend: "onnxruntime"\nmax_batch_size: 16\n{ONE_INSTANCE}'
MAPPED = ("SOURCE_HISTOGRAM", "STYLE_STRENGTH")
"""What a mapper takes besides the condition."""
HEAD_OUTPUTS = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "SOURCE_HISTOGRAM")
REARRANGER_INPUTS = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "TARGET_PROXY_MASK")

_TENSORS = {
    "SKETCH": ("TYPE_UINT8", "64, 64"),
    "SCRIBBLE": ("TYPE_UINT8", "64, 64"),
    "LABEL_MAP": ("TYPE_UINT8", "64, 64"),
    "PICTURE": ("TYPE_UINT8", "64, 64, 3"),
    "IMAGE": ("TYPE_UINT8", "64, 64, 3"),
    "TARGET_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
    "SOURCE_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
    "SOURCE_HISTOGRAM": ("TYPE_FP32", "20"),
    "STYLE_STRENGTH": ("TYPE_FP32", "1"),
    "FEATURES_8X8": ("TYPE_FP32", "256, 8, 8"),
    "FEATURES_16X16": ("TYPE_FP32", "128, 16, 16"),
    "REARRANGED_FEATURES": ("TYPE_FP32", "3, 32, 32"),
    "LATENT": ("TYPE_FP32", str(LATENT_SIZE)),
}


def tensors(field: str, *names: str) -> str:
    """Inputs or outputs of a model, by the pack's names."""
    return "".join(tensor_text(field, name, *_TENSORS[name]) for name in names)


def step(model: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """A step of an ensemble, in which tensors keep their names."""
    return step_text(model, {name: name for name in inputs}, {name: name for name in outputs})


def write_ensemble(
    writer: RepositoryWriter, kind: str, condition: str, steps: Sequence[str], **parameters: str
) -> None:
    """Write the ensemble of a kind of condition: head, `steps` to the target proxy mask, rearranger, tail."""
    mapped = kind in ("label_map", "sketch", "scribble")
    head = [name for name in HEAD_OUTPUTS if mapped or name != "SOURCE_HISTOGRAM"]
    all_steps = [
        step("faces64_generator_head", ("LATENT",), head),
        *steps,
        step("faces64_rearranger", REARRANGER_INPUTS, ("REARRANGED_FEATURES",)),
        step("faces64_generator_tail", ("REARRANGED_FEATURES",), ("IMAGE",)),
    ]
    inputs = (condition, "LATENT", *(("STYLE_STRENGTH",) if mapped else ()))
    strength = '{"default": 0.5, "min": 0.0, "max": 1.0}' if mapped else None
    writer.ensemble(
        f"faces64_{kind}",
        'platform: "ensemble"\nmax_batch_size: 16\n'
        + tensors("input", *inputs)
        + tensors("output", "IMAGE")
        + f"ensemble_scheduling {{\n{''.join(all_steps)}}}\n"
        + pack_parameters("faces64", strength=strength, condition=kind, **parameters),
    )
