"""Warm-up requests: they run before the engine is ready, with the data the config says."""

import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.core.diagnostics import RepositoryError
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import (
    RepositoryWriter,
    affine_model,
    onnx_config,
    onnx_model,
    tensor_text,
)
from tests.support.model_runs import ModelRuns

Start = Callable[..., Awaitable[EmbeddedEngine]]


def _warmup(data: str, batch_size: int = 1, count: int = 0, dims: str = "4", name: str = "IN") -> str:
    value = f"{{ data_type: TYPE_FP32 dims: [ {dims} ] {data} }}"
    times = f"count: {count}" if count else ""
    return (
        f'model_warmup {{ name: "w" batch_size: {batch_size} {times} '
        f'inputs {{ key: "{name}" value: {value} }} }}'
    )


async def test_zeros(repository: RepositoryWriter, start: Start, runs: ModelRuns) -> None:
    repository.affine("stage", 1, 0, extra=_warmup("zero_data: true", batch_size=3))
    await start()
    (inputs,) = runs.inputs["stage"]
    np.testing.assert_array_equal(inputs["IN"], row(0, batch=3))


async def test_random_values_that_are_the_same_at_every_start(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 1, 0, extra=_warmup("random_data: true", batch_size=8))
    await start()
    await start()
    first, second = (inputs["IN"] for inputs in runs.inputs["stage"])
    np.testing.assert_array_equal(first, second)
    assert first.shape == (8, 4)
    assert len(np.unique(first)) > 16
    assert first.min() >= 0
    assert first.max() < 1


@pytest.mark.parametrize("data_type", ["UINT8", "INT8", "BOOL"])
async def test_random_integers_span_their_type(
    repository: RepositoryWriter, start: Start, runs: ModelRuns, data_type: str
) -> None:
    shape, kind = ("batch", 4096), TensorProto.DataType.Value(data_type)
    model = onnx_model(
        [("IN", kind, shape)], [("OUT", kind, shape)], [helper.make_node("Identity", ["IN"], ["OUT"])]
    )
    name = f"TYPE_{data_type}"
    tensors = tensor_text("input", "IN", name, "4096") + tensor_text("output", "OUT", name, "4096")
    extra = _warmup("random_data: true", dims="4096").replace("TYPE_FP32", name)
    repository.model("stage", {1: model}, f'backend: "onnxruntime" max_batch_size: 8 {tensors} {extra}')
    await start()
    (inputs,) = runs.inputs["stage"]
    spans = {"UINT8": (0, 255), "INT8": (-128, 127), "BOOL": (0, 1)}
    assert (int(inputs["IN"].min()), int(inputs["IN"].max())) == spans[data_type]


async def test_data_from_a_file(repository: RepositoryWriter, start: Start, runs: ModelRuns) -> None:
    repository.affine("stage", 1, 0, extra=_warmup('input_data_file: "in.raw"', batch_size=2))
    (repository.root / "stage" / "warmup").mkdir()
    data = np.arange(8, dtype=np.float32).reshape(2, 4)
    (repository.root / "stage" / "warmup" / "in.raw").write_bytes(data.tobytes())
    await start()
    (inputs,) = runs.inputs["stage"]
    np.testing.assert_array_equal(inputs["IN"], data)


async def test_every_sample_runs_as_often_as_it_says_on_every_version(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    extra = _warmup("zero_data: true", count=2) + _warmup("zero_data: true", batch_size=8)
    versions = {1: affine_model(1, 0), 2: affine_model(2, 0)}
    repository.model("stage", versions, onnx_config(extra=extra + " version_policy { all { } }"))
    await start()
    assert sorted(len(inputs["IN"]) for inputs in runs.inputs["stage"]) == [1, 1, 1, 1, 8, 8]


async def test_warming_an_ensemble_runs_its_steps(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond(extra=_warmup("zero_data: true"))
    await start()
    assert [runs.count(name) for name in ("head", "left", "right", "join")] == [1, 1, 1, 1]


async def test_a_cached_model_is_warmed_as_well_and_the_cache_begins_empty(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    extra = _warmup("zero_data: true", count=3) + " response_cache { enable: true }"
    repository.diamond(head_extra=extra, extra=_warmup("zero_data: true"))
    engine = await start()
    assert runs.count("head") == 3 + 1
    result = await infer(engine, "head", {"IN": row(0)})
    assert not result.timings[0].cached


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (
            _warmup("zero_data: true", dims="5"),
            "stage/config.pbtxt: model_warmup[0]: 'w' failed: stage.inputs[IN]: got TYPE_FP32 [ 1, 5 ]; "
            "allowed: TYPE_FP32 [ -1, 4 ]; allowed: a request that succeeds",
        ),
        (
            _warmup('input_data_file: "absent"'),
            "stage/warmup/absent: cannot be read: No such file or directory; "
            "allowed: 16 bytes of raw data, float32 [1, 4]",
        ),
        (
            _warmup('input_data_file: "short"', batch_size=2),
            "stage/warmup/short: holds 31 bytes; allowed: 32 bytes of raw data, float32 [2, 4]",
        ),
    ],
    ids=["shape", "no file", "size"],
)
async def test_a_warm_up_that_cannot_run_stops_the_start(
    repository: RepositoryWriter, start: Start, extra: str, expected: str
) -> None:
    repository.affine("stage", 1, 0, extra=extra)
    (repository.root / "stage" / "warmup").mkdir()
    (repository.root / "stage" / "warmup" / "short").write_bytes(bytes(31))
    with pytest.raises(RepositoryError) as raised:
        await start()
    assert [str(problem).replace(f"{repository.root}/", "") for problem in raised.value.problems] == [
        expected
    ]


async def test_a_start_that_fails_half_way_leaves_no_threads(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    extra = _warmup("zero_data: true") + _warmup('input_data_file: "absent"')
    repository.affine("stage", 1, 0, extra=extra)
    with pytest.raises(RepositoryError):
        await start()
    assert runs.count("stage") == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine")]
