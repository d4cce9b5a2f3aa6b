"""A precision is served only after the exporter compared its images."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import maskweave_cli
from export.commands import int8, verify
from export.exported import ExportedPack
from export.methods import load_pack
from service.core.errors import ConfigurationError
from service.engine.base import Array
from service.engine.embedded.engine import EmbeddedEngine
from service.engine.embedded.runtime import RUNTIMES, Allowed
from tests.support.inference import infer
from tests.support.shipped import LABEL_MAPS, REPOSITORY, fitted, stages_of

ENSEMBLE = "faces64_label_map"
STAGES = stages_of(ENSEMBLE)


@pytest.fixture(scope="module")
def pack() -> ExportedPack:
    """faces64, as far as label maps go."""
    whole = load_pack("faces64")
    return dataclasses.replace(whole, conditions=whole.conditions[:1], aside=())


@pytest.fixture(autouse=True)
def _only_label_maps(pack: ExportedPack, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (verify, int8):
        monkeypatch.setattr(command, "load_pack", lambda name: pack)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, pack: ExportedPack) -> Path:
    """Its models, with 8-bit graphs beside them, and a folder `maps` with one label map."""
    root = tmp_path_factory.mktemp("served")
    for name in (*STAGES, ENSEMBLE):
        shutil.copytree(REPOSITORY / name, root / name)
    (root.parent / "maps").mkdir(exist_ok=True)
    shutil.copy(LABEL_MAPS[0], root.parent / "maps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "load_pack", lambda name: pack)
        result = run("int8", "faces64", "--repository", root, "--label-maps", root.parent / "maps")
    assert result.exit_code == 0, result.output
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(maskweave_cli.main, ["export", *map(str, arguments)])


async def image(repository: Path, allowed: Allowed) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    engine = EmbeddedEngine(repository, threads=1, cache_bytes=0, allowed=allowed)
    await engine.start()
    inputs: dict[str, Array] = {
        "LABEL_MAP": fitted(LABEL_MAPS[0])[None],
        "LATENT": np.random.default_rng(1).standard_normal((1, 100)).astype(np.float32),
        "STYLE_STRENGTH": np.full((1, 1), 0.5, np.float32),
    }
    try:
        return (await infer(engine, ENSEMBLE, inputs, outputs=["IMAGE"])).outputs["IMAGE"]
    finally:
        await engine.close()


def test_graphs_of_eight_bits_stand_beside_the_others(repository: Path) -> None:
    for stage in (each for each in STAGES if each != "faces64_generator_tail"):
        whole, small = (repository / stage / "1" / f"model{end}" for end in (".onnx", ".int8.onnx"))
        assert 0 < small.stat().st_size < 2 * whole.stat().st_size
    assert not (
        repository / "faces64_generator_tail" / "1" / "model.int8.onnx"
    ).exists()  # has nothing to gain


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_what_was_recorded_is_what_serves(repository: Path, runtime: str) -> None:
    allowed = Allowed((runtime,), ("int8",))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="never compared"):
        await image(repository, allowed)
    maps = repository.parent / "maps"
    flags = ("--repository", repository, "--label-maps", maps, "--runtime", runtime, "--record")
    result = run("verify", "faces64", *flags, "--precision", "fp32", "--precision", "int8")
    records = json.loads((repository / "precisions.json").read_text())["records"]
    mine = {each["precision"]: each for each in records if each["runtime"] == runtime}
    assert mine.keys() == {"fp32", "int8"}
    assert mine["fp32"]["passed"], result.output
    assert mine["fp32"]["found"]["mean_psnr"] > mine["int8"]["found"]["mean_psnr"] > 10
    assert mine["int8"]["images"] == 8
    assert mine["int8"]["files"].keys() == set(STAGES)
    if mine["int8"]["passed"]:
        assert result.exit_code == 0, result.output
        exact, rounded = await image(repository, Allowed((runtime,))), await image(repository, allowed)  # type: ignore[arg-type]
        assert 0 < np.abs(exact.astype(int) - rounded.astype(int)).mean() < 12
    else:
        assert result.exit_code == 1
        with pytest.raises(ConfigurationError, match=f"int8 by {runtime}: PSNR"):
            await image(repository, allowed)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--record",), "--record goes with --runtime"),
        (("--precision", "int8"), "--precision int8 goes with --runtime"),
        (("--precision", "fp16", "--runtime", "openvino"), "allowed: fp32, bf16, int8"),
        (("--precision", "bf16", "--runtime", "onnxruntime"), "ONNX Runtime computes no bf16 on CPUs"),
    ],
)
def test_what_cannot_be_meant_is_refused(repository: Path, flags: tuple[str, ...], told: str) -> None:
    result = run("verify", "faces64", "--repository", repository, *flags)
    assert result.exit_code != 0
    assert told in result.output
