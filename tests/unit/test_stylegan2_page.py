"""docs/stylegan2.md tells what is so: names that a file may use, limits, a configuration that fits."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from training.data.parts import PART_BYTES, PART_SAMPLES, part_seeds
from training.generators.importers.files import MAX_BYTES
from training.generators.importers.opcodes import MAX_OPCODES, Budget
from training.generators.importers.stylegan2_ada import ada_table
from training.generators.importers.torch_storages import STORAGE_TYPES
from training.generators.stylegan2.architecture import MAX_WIDTH, RESOLUTIONS
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.stylegan2_memory import SIZES, kept_bytes

PAGE = (Path(__file__).parents[2] / "docs" / "stylegan2.md").read_text(encoding="utf-8")


def test_every_name_that_a_file_may_use_is_listed() -> None:
    table = PAGE.partition("What a file may name:")[2].partition("\n\n`test")[0]
    listed = {name for name in re.findall(r"`([\w.]+)`", table) if re.search(r"\w\.\w", name)}
    listed -= {"pathlib._local"}
    listed |= {name.replace("pathlib.", "pathlib._local.") for name in listed}
    snapshot = ada_table(Budget())
    assert listed == {*snapshot.calls, *snapshot.values, *STORAGE_TYPES, "argparse.Namespace"}


def test_memory_is_what_the_command_counts() -> None:
    rows = dict(re.findall(r"\| (\d+) px \| ([\d.]+) \|", PAGE))
    assert [int(side) for side in rows] == list(SIZES)
    for side in SIZES[:2]:  # the others take longer
        assert float(rows[str(side)]) == pytest.approx(kept_bytes(side) / 2**30, abs=0.006)


def test_labeller_is_asked_as_the_page_says() -> None:
    assert f"at most {PART_SAMPLES} images, and at most {PART_BYTES >> 20} MiB" in PAGE
    (first, *_) = part_seeds(range(10_000), 1024)
    assert f"({len(first)} images at 1024 px)" in PAGE


def test_limits_are_the_readers() -> None:
    assert f"{MAX_BYTES >> 30} GiB" in PAGE
    assert f"at most {MAX_OPCODES:,} opcodes".replace(",", " ").removesuffix(" opcodes") in PAGE
    assert f"up to {MAX_WIDTH} wide" in PAGE
    assert f"{', '.join(map(str, RESOLUTIONS[:-1]))} or {RESOLUTIONS[-1]}" in PAGE


def test_the_configuration_fits_beside_that_of_faces64() -> None:
    example = tomllib.loads(PAGE.partition("```toml\n")[2].partition("```")[0])
    faces64 = load_config("faces64").model_dump() | {"inversion": None}
    assert "`[inversion]`" in PAGE, "it cannot stay, so the page must say so"
    config = PackConfig.model_validate(_merged(faces64, example))
    assert config.fold == 8
    assert config.stylegan2 is not None
    assert config.stylegan2.weights == Path("stylegan2.safetensors")


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {k: _merged(base[k], v) for k, v in changes.items() if isinstance(base.get(k), dict)}
    return base | changes | nested
