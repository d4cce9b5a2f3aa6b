"""A small model repository that looks to the gateway like the shipped one.

`faces64` has the names, tensors and parameters of the real pack and networks of a few operators: each
pixel shows its class (green), the latent's mean (red) and the style strength (blue). Beside it is `slow`.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.faces64_conditions import write_conditions
from tests.support.faces64_editing import write_editor
from tests.support.faces64_networks import head, mapper, rearranger, tail
from tests.support.model_repository import RepositoryWriter, step_text, tensor_text
from tests.support.slow_pack import write_slow
from tests.support.small_pack import LATENT_SIZE, pack_parameters


def write_repository(root: Path) -> None:
    """Write both packs into `root`, `faces64` with every kind of condition and with edits of pictures."""
    writer = RepositoryWriter(root)
    write_faces64(writer)
    write_conditions(writer)
    write_editor(writer)
    write_slow(writer)


def write_faces64(writer: RepositoryWriter) -> None:
    """Write the pack `faces64` for label maps."""
    label_map = tensor_text("input", "LABEL_MAP", "TYPE_UINT8", "64, 64")
    strength = tensor_text("input", "STYLE_STRENGTH", "TYPE_FP32", "1")
    latent = tensor_text("input", "LATENT", "TYPE_FP32", str(LATENT_SIZE))
    image = tensor_text("output", "IMAGE", "TYPE_UINT8", "64, 64, 3")

    def between(kind: str, *names: str) -> str:
        known = {
            "SOURCE_HISTOGRAM": ("TYPE_FP32", "20"),
            "TARGET_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
            "SOURCE_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
            "FEATURES_8X8": ("TYPE_FP32", "256, 8, 8"),
            "FEATURES_16X16": ("TYPE_FP32", "128, 16, 16"),
            "REARRANGED_FEATURES": ("TYPE_FP32", "3, 32, 32"),
        }
        return "".join(tensor_text(kind, name, *known[name]) for name in names)

    head_outputs = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "SOURCE_HISTOGRAM")
    rearranger_inputs = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "TARGET_PROXY_MASK")
    start = 'backend: "onnxruntime"\nmax_batch_size: 16\n'
    writer.model(
        "faces64_mapper_label_map",
        {1: mapper()},
        start
        + label_map
        + between("input", "SOURCE_HISTOGRAM")
        + strength
        + between("output", "TARGET_PROXY_MASK"),
    )
    writer.model(
        "faces64_generator_head",
        {1: head()},
        start + latent + between("output", *head_outputs) + "response_cache { enable: true }\n",
    )
    writer.model(
        "faces64_rearranger",
        {1: rearranger()},
        start + between("input", *rearranger_inputs) + between("output", "REARRANGED_FEATURES"),
    )
    writer.model(
        "faces64_generator_tail", {1: tail()}, start + between("input", "REARRANGED_FEATURES") + image
    )

    def same(*names: str) -> dict[str, str]:
        return {name: name for name in names}

    steps = (
        step_text("faces64_generator_head", same("LATENT"), same(*head_outputs)),
        step_text(
            "faces64_mapper_label_map",
            same("LABEL_MAP", "SOURCE_HISTOGRAM", "STYLE_STRENGTH"),
            same("TARGET_PROXY_MASK"),
        ),
        step_text("faces64_rearranger", same(*rearranger_inputs), same("REARRANGED_FEATURES")),
        step_text("faces64_generator_tail", same("REARRANGED_FEATURES"), same("IMAGE")),
    )
    writer.ensemble(
        "faces64_label_map",
        'platform: "ensemble"\nmax_batch_size: 16\n'
        + label_map
        + latent
        + strength
        + image
        + f"ensemble_scheduling {{\n{''.join(steps)}}}\n"
        + pack_parameters("faces64", strength='{"default": 0.5, "min": 0.0, "max": 1.0}'),
    )
