"""A small model repository that looks to the gateway like the shipped one.

`faces64` has the names, tensors and parameters of the real pack and networks of a few operators: each
pixel shows its class (green), the latent's mean (red) and the style strength (blue). Beside it is `slow`.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.faces64_conditions import write_conditions
from tests.support.faces64_config import (
    HEAD_OUTPUTS,
    MAPPED,
    REARRANGER_INPUTS,
    START,
    step,
    tensors,
    write_ensemble,
)
from tests.support.faces64_editing import write_editor
from tests.support.faces64_networks import head, mapper, rearranger, tail
from tests.support.faces64_reading import write_readers
from tests.support.model_repository import RepositoryWriter
from tests.support.slow_pack import write_slow


def write_repository(root: Path) -> None:
    """Write both packs into `root`, `faces64` with every kind of condition, edits and reading of images."""
    writer = RepositoryWriter(root)
    write_faces64(writer)
    write_conditions(writer)
    write_editor(writer)
    write_readers(writer)
    write_slow(writer)


def write_faces64(writer: RepositoryWriter) -> None:
    """Write the pack `faces64` for label maps."""
    mapper_inputs = ("LABEL_MAP", *MAPPED)
    mapped = ("TARGET_PROXY_MASK",)
    writer.model(
        "faces64_mapper_label_map",
        {1: mapper()},
        START + tensors("input", *mapper_inputs) + tensors("output", *mapped),
    )
    writer.model(
        "faces64_generator_head",
        {1: head()},
        START
        + tensors("input", "LATENT")
        + tensors("output", *HEAD_OUTPUTS)
        + "response_cache { enable: true }\n",
    )
    writer.model(
        "faces64_rearranger",
        {1: rearranger()},
        START + tensors("input", *REARRANGER_INPUTS) + tensors("output", "REARRANGED_FEATURES"),
    )
    writer.model(
        "faces64_generator_tail",
        {1: tail()},
        START + tensors("input", "REARRANGED_FEATURES") + tensors("output", "IMAGE"),
    )
    write_ensemble(
        writer, "label_map", "LABEL_MAP", [step("faces64_mapper_label_map", mapper_inputs, mapped)]
    )
