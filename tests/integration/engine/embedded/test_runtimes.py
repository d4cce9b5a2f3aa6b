"""Every runtime serves a repository in the same way, and lower precisions only where images were compared."""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.core.diagnostics import RepositoryError
from service.core.errors import ConfigurationError, EngineFailure
from service.engine.base import Array, EngineStatistics
from service.engine.embedded import starting
from service.engine.embedded.engine import EmbeddedEngine
from service.engine.embedded.openvino_runtime import OpenVinoInterrupt, OpenVinoRuntime
from service.engine.embedded.precisions import RECORDS_FILE, Figures, Record, Records
from service.engine.embedded.runtime import RUNTIMES, Allowed, RuntimeName
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import RepositoryWriter, affine_model, onnx_config, onnx_model
from tests.support.shipped import LABEL_MAPS, REPOSITORY, fitted, stages_of

Start = Callable[..., Awaitable[EmbeddedEngine]]

CACHED = "response_cache { enable: true }"
WARM_UP = (
    'model_warmup { name: "zeros" batch_size: 1 '
    'inputs { key: "IN" value { data_type: TYPE_FP32 dims: 4 zero_data: true } } }'
)


def by(runtime: RuntimeName) -> Allowed:
    return Allowed((runtime,))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("threads", [1, 2])
async def test_an_ensemble_of_any_batch(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName, threads: int
) -> None:
    repository.diamond(head_extra=CACHED)
    engine = await start(threads=threads, allowed=by(runtime))
    for values in ([1], [2, 3, 4], [1], [2, 3, 4]):
        given = np.concatenate([row(value) for value in values])
        result = await infer(engine, "diamond", {"IN": given})
        np.testing.assert_array_equal(result.outputs["OUT"], 8 * given + 1)
        assert not result.outputs["OUT"].flags.writeable
    assert [timing.cached for timing in result.timings if timing.model == "head"] == [True]


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_results_stay_as_they_are_while_others_run(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName
) -> None:
    repository.affine("stage", 2, 1)
    engine = await start(threads=1, allowed=by(runtime))
    first = await infer(engine, "stage", {"IN": row(1)})
    await infer(engine, "stage", {"IN": row(5)})
    np.testing.assert_array_equal(first.outputs["OUT"], row(3))


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_wrong_configs_are_found_by_name(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName
) -> None:
    repository.model(
        "stage", {1: affine_model(1, 0)}, onnx_config(inputs=("OTHER",), outputs=("OUT", "MORE"))
    )
    with pytest.raises(RepositoryError) as refused:
        await start(allowed=by(runtime))
    found = [(problem.field, problem.problem) for problem in refused.value.problems]
    file = repository.root / "stage" / "1" / "model.onnx"
    assert ("input[0].name", f"{file} has no input 'OTHER'") in found
    assert ("output[1].name", f"{file} has no output 'MORE'") in found
    assert ("input", f"input 'IN' of {file} is missing") in found


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_a_file_that_is_no_model(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName
) -> None:
    repository.affine("stage", 1, 0)
    (repository.root / "stage" / "1" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(RepositoryError, match="cannot be loaded"):
        await start(allowed=by(runtime))


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_a_model_that_fails_is_a_failure_of_the_engine(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName
) -> None:
    nodes = [
        helper.make_node("Cast", ["INDEX"], ["index"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["IN", "index"], ["OUT"]),
    ]
    inputs = [("IN", TensorProto.FLOAT, (4,)), ("INDEX", TensorProto.INT32, (2,))]
    model = onnx_model(inputs, [("OUT", TensorProto.FLOAT, ("a", "b"))], nodes)
    config = (
        'backend: "onnxruntime" input { name: "IN" data_type: TYPE_FP32 dims: 4 } '
        'input { name: "INDEX" data_type: TYPE_INT32 dims: 2 } '
        'output { name: "OUT" data_type: TYPE_FP32 dims: [ -1, -1 ] }'
    )
    repository.model("stage", {1: model}, config)
    engine = await start(allowed=by(runtime))
    given = np.arange(4, dtype=np.float32)
    good = await infer(engine, "stage", {"IN": given, "INDEX": np.array([2, 2], np.int32)})
    np.testing.assert_array_equal(good.outputs["OUT"], given.reshape(2, 2))
    with pytest.raises(EngineFailure, match="stage version 1 failed"):
        await infer(engine, "stage", {"IN": given, "INDEX": np.array([3, 2], np.int32)})


def test_the_runtime_starts_no_process_of_its_own() -> None:
    """OpenVINO's reports to its maker are sent by one, whose end stopped the gateway."""
    program = """
from multiprocessing.process import BaseProcess
BaseProcess.start = lambda self: print("a process was started", flush=True)
import service.engine.embedded.openvino_runtime, sys
from openvino.tools.ovc import telemetry
print(type(telemetry).__module__, sys.modules["openvino_telemetry"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino.tools.ovc.telemetry_stub None\n"


def test_many_threads_may_be_the_first_to_open_a_graph() -> None:
    """Two that made OpenVINO's table of types at once waited for each other, and nobody else went on."""
    program = """
import faulthandler, sys, threading
import service.engine.embedded.openvino_runtime as runtime
faulthandler.dump_traceback_later(60, exit=True)
start = threading.Barrier(8)
def first():
    start.wait()
    runtime.ov.Type.f32.to_dtype()
    runtime.ov.Tensor(runtime.np.zeros(1, "f4")).data
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=first, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("all did")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "all did\n", done.stderr


def test_a_run_that_was_ended_before_it_began_does_not_begin(repository: RepositoryWriter) -> None:
    repository.affine("stage", 1, 0)
    config: Any = type("Config", (), {"max_batch_size": 8, "inputs": (), "outputs": ()})
    (graph,) = OpenVinoRuntime().open(repository.root / "stage" / "1" / "model.onnx", config, [1])
    interrupt = OpenVinoInterrupt()
    assert graph.run({"IN": row(1)}, ["OUT"], interrupt)[0].tolist() == row(1).tolist()
    interrupt.end()
    with pytest.raises(RuntimeError, match="ended"):
        graph.run({"IN": row(1)}, ["OUT"], interrupt)
    assert not interrupt.running


async def test_faces64_gives_the_same_images_by_every_runtime(tmp_path: Path) -> None:
    for name in ("faces64_label_map", *stages_of("faces64_label_map")):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    inputs: dict[str, Array] = {
        "LABEL_MAP": fitted(LABEL_MAPS[0])[None],
        "LATENT": np.random.default_rng(1).standard_normal((1, 100)).astype(np.float32),
        "STYLE_STRENGTH": np.full((1, 1), 0.5, np.float32),
    }
    images: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}
    for runtime in RUNTIMES:
        # Nothing is kept: the second is computed again.
        engine = EmbeddedEngine(tmp_path, threads=2, cache_bytes=0, allowed=by(runtime))
        await engine.start()
        try:
            one, other = [
                await infer(engine, "faces64_label_map", inputs, outputs=("IMAGE",)) for _ in range(2)
            ]
        finally:
            await engine.close()
        np.testing.assert_array_equal(one.outputs["IMAGE"], other.outputs["IMAGE"])
        images[runtime] = one.outputs["IMAGE"].astype(int)
    apart = np.abs(images["onnxruntime"] - images["openvino"])
    # A cell of the proxy mask that is a close call may fall the other way, and changes its surroundings.
    assert (apart > 1).mean() < 0.02
    assert apart.mean() < 0.2


def figures(mean_psnr: float) -> Figures:
    return Figures(mean_psnr=mean_psnr, worst_psnr=30.0, mean_ssim=0.99, worst_ssim=0.97)


def note(root: Path, file: Path, *, runtime: RuntimeName, passed: bool = True, psnr: float = 40.0) -> None:
    """A record of int8."""
    record = Record(
        model="served",
        runtime=runtime,
        runtime_version="1",
        precision="int8",
        cpu="some",
        date="2026-11-28",
        images=8,
        found=figures(psnr),
        gate=figures(38.0),
        passed=passed,
        files={"stage": hashlib.sha256(file.read_bytes()).hexdigest()},
    )
    (root / RECORDS_FILE).write_text(Records(records=(record,)).model_dump_json())


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_a_precision_serves_only_what_was_compared(
    repository: RepositoryWriter, start: Start, runtime: RuntimeName
) -> None:
    repository.affine("stage", 2, 1)
    file = repository.root / "stage" / "1" / "model.onnx"
    converted = file.with_name("model.int8.onnx")
    shutil.copy(file, converted)
    allowed = Allowed((runtime,), ("int8",))

    with pytest.raises(ConfigurationError, match="never compared") as refused:
        await start(allowed=allowed)
    assert f"--runtime {runtime} --precision int8 --record" in str(refused.value)
    assert str(converted) in str(refused.value)

    note(repository.root, converted, runtime=runtime, passed=False, psnr=21.5)
    with pytest.raises(ConfigurationError, match=r"PSNR 21\.5 dB mean.*at least PSNR 38\.0 dB mean"):
        await start(allowed=allowed)

    note(repository.root, converted, runtime=runtime)
    engine = await start(allowed=allowed)
    assert (engine.statistics().precision, engine.statistics().why) == ("int8", "as set")
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(5)})).outputs["OUT"], row(11))

    converted.write_bytes(converted.read_bytes() + b"\0")  # another file than the one that was looked at
    with pytest.raises(ConfigurationError, match="never compared"):
        await start(allowed=allowed)


async def test_records_that_cannot_be_read_are_named(repository: RepositoryWriter, start: Start) -> None:
    repository.affine("stage", 2, 1)
    (repository.root / RECORDS_FILE).write_text('{"records": [{"model": 1}]}')
    with pytest.raises(ConfigurationError, match=f"{RECORDS_FILE}.*records.0.model"):
        await start(allowed=Allowed(("onnxruntime",), ("int8",)))


async def test_bf16_is_refused_where_nothing_computes_in_it(
    repository: RepositoryWriter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.affine("stage", 2, 1)
    monkeypatch.setattr(OpenVinoRuntime, "capabilities", frozenset({"FP32"}))
    with pytest.raises(ConfigurationError) as refused:
        await start(allowed=Allowed(RUNTIMES, ("bf16",)))
    assert refused.value.problems == (
        "embedded_runtime onnxruntime, embedded_precision bf16: ONNX Runtime computes no bf16 on CPUs; "
        "allowed: fp32, int8",
        "embedded_runtime openvino, embedded_precision bf16: this CPU has no instructions for bf16; allowed: "
        "fp32, int8",
    )


async def test_a_runtime_that_is_not_installed(
    repository: RepositoryWriter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.affine("stage", 2, 1)
    monkeypatch.setattr("service.engine.embedded.choice.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'maskweave\[openvino\]'"):
        await start(allowed=by("openvino"))
    engine = await start(allowed=Allowed(RUNTIMES))
    now = engine.statistics()
    assert (now.runtime, now.why) == ("ONNX Runtime", "the only one possible of those allowed")


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [((0.010, 0.005), "OpenVINO"), ((0.010, 0.0095), "ONNX Runtime"), ((0.010, 0.020), "ONNX Runtime")],
    ids=["half the time", "a little faster", "slower"],
)
async def test_auto_takes_what_is_faster_by_more_than_noise(
    repository: RepositoryWriter,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: tuple[float, float],
    taken: str,
) -> None:
    repository.affine("stage", 2, 1, extra=WARM_UP)
    times = iter(seconds)
    monkeypatch.setattr(starting, "seconds_of", lambda models, token: next(times))
    with caplog.at_level(logging.INFO):
        engine = await start(allowed=Allowed(RUNTIMES))
    now: EngineStatistics = engine.statistics()
    assert (now.runtime, now.precision, now.why) == (taken, "fp32", "the fastest of 2")
    assert now.candidates == {("onnxruntime", "fp32"): seconds[0], ("openvino", "fp32"): seconds[1]}
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(5)})).outputs["OUT"], row(11))
    ready = next(record for record in caplog.records if record.message == "engine ready")
    assert (ready.why, ready.precision) == ("the fastest of 2", "fp32")  # type: ignore[attr-defined]


async def test_auto_measures_the_models_themselves(repository: RepositoryWriter, start: Start) -> None:
    repository.affine("stage", 2, 1, extra=WARM_UP)
    engine = await start(allowed=Allowed(RUNTIMES))
    assert engine.statistics().candidates.keys() == {("onnxruntime", "fp32"), ("openvino", "fp32")}
    assert all(0 < seconds < 10 for seconds in engine.statistics().candidates.values())
