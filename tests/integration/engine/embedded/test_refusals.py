"""Repositories that cannot be served: the start fails and says what is wrong where."""

import threading
from collections.abc import Awaitable, Callable

import onnx
import pytest
from onnx import TensorProto, helper

from service.core.diagnostics import RepositoryError
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.model_repository import (
    RepositoryWriter,
    affine_model,
    ensemble_config,
    onnx_config,
    onnx_model,
    step_text,
    sum_model,
    tensor_text,
)

Start = Callable[..., Awaitable[EmbeddedEngine]]


async def _problems(repository: RepositoryWriter) -> list[str]:
    engine = EmbeddedEngine(repository.root, threads=2, cache_bytes=0)
    with pytest.raises(RepositoryError) as raised:
        await engine.start()
    assert not engine.models()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine")]
    return [str(problem).replace(f"{repository.root}/", "") for problem in raised.value.problems]


def _fixed_batch(batch: int) -> onnx.ModelProto:
    shape = (batch, 4)
    return onnx_model(
        [("IN", TensorProto.FLOAT, shape)],
        [("OUT", TensorProto.FLOAT, shape)],
        [helper.make_node("Neg", ["IN"], ["OUT"])],
    )


def _config(in_type: str = "TYPE_FP32", in_dims: str = "4", out_dims: str = "4") -> str:
    tensors = tensor_text("input", "IN", in_type, in_dims) + tensor_text("output", "OUT", dims=out_dims)
    return f'backend: "onnxruntime" max_batch_size: 8 {tensors}'


MISMATCHES = {
    "unknown input": (
        affine_model(1, 0),
        onnx_config(inputs=("IN", "DIAL")),
        "input[1].name: stage/1/model.onnx has no input 'DIAL'; allowed: IN",
    ),
    "unknown output": (
        affine_model(1, 0),
        onnx_config(outputs=("OUT", "SCORE")),
        "output[1].name: stage/1/model.onnx has no output 'SCORE'; allowed: OUT",
    ),
    "undeclared input": (
        sum_model(),
        onnx_config(inputs=("LEFT",)),
        "input: input 'RIGHT' of stage/1/model.onnx is missing; allowed: all of LEFT, RIGHT",
    ),
    "dtype": (
        affine_model(1, 0),
        _config(in_type="TYPE_UINT8"),
        "input[0].data_type: 'IN' is TYPE_UINT8 here; allowed: TYPE_FP32, as in stage/1/model.onnx",
    ),
    "size": (
        affine_model(1, 0),
        _config(out_dims="5"),
        "output[0].dims: 'OUT' is [ 5 ] here; allowed: [ 4 ], as in stage/1/model.onnx",
    ),
    "rank": (
        affine_model(1, 0),
        _config(in_dims="2, 2"),
        "input[0].dims: 'IN' is [ 2, 2 ] here; allowed: [ 4 ], as in stage/1/model.onnx",
    ),
    "promise of any size": (
        affine_model(1, 0),
        _config(in_dims="-1"),
        "input[0].dims: 'IN' is [ -1 ] here; allowed: [ 4 ], as in stage/1/model.onnx",
    ),
    "batch dimension counted twice": (
        affine_model(1, 0),
        onnx_config(max_batch_size=0),
        "input[0].dims: 'IN' is [ 4 ] here; allowed: [ -1, 4 ], as in stage/1/model.onnx",
    ),
    "fixed batch": (
        _fixed_batch(1),
        onnx_config(),
        "max_batch_size: 8 or fewer, but 'IN' is [ 1, 4 ]; "
        "allowed: a first dimension of any size in stage/1/model.onnx",
    ),
}


@pytest.mark.parametrize(("model", "config", "expected"), MISMATCHES.values(), ids=MISMATCHES.keys())
async def test_a_config_that_is_not_the_model(
    repository: RepositoryWriter, model: onnx.ModelProto, config: str, expected: str
) -> None:
    repository.model("stage", {1: model}, config)
    assert (await _problems(repository))[0] == f"stage/config.pbtxt: {expected}"


async def test_a_batch_of_one_may_be_fixed(repository: RepositoryWriter, start: Start) -> None:
    repository.model("stage", {1: _fixed_batch(1)}, onnx_config(max_batch_size=1))
    assert set((await start()).models()) == {"stage"}


async def test_a_file_that_is_no_onnx_model(repository: RepositoryWriter) -> None:
    repository.affine("stage", 1, 0)
    (repository.root / "stage" / "1" / "model.onnx").write_bytes(b"not a model")
    (problem,) = await _problems(repository)
    assert problem.startswith("stage/1/model.onnx: cannot be loaded: ")


async def test_an_onnx_version_from_the_future(repository: RepositoryWriter) -> None:
    model = affine_model(1, 0)
    model.ir_version = 99
    repository.model("stage", {1: model}, onnx_config())
    (problem,) = await _problems(repository)
    assert problem.startswith("stage/1/model.onnx: cannot be loaded: ")
    assert "IR version: 99" in problem


async def test_all_problems_of_the_configs_and_graphs_come_together(repository: RepositoryWriter) -> None:
    repository.diamond(extra="sequence_batching { }")
    repository.affine("other", 1, 0, extra="model_operations { }")
    (repository.root / "empty").mkdir()
    repository.ensemble("lost", ensemble_config([step_text("nowhere", {"IN": "IN"}, {"OUT": "OUT"})]))
    files = [problem.split(":")[0] for problem in await _problems(repository)]
    assert sorted(files) == [
        "diamond/config.pbtxt",
        "empty/config.pbtxt",
        "lost/config.pbtxt",
        "other/config.pbtxt",
    ]


async def test_all_problems_of_the_model_files_come_together(repository: RepositoryWriter) -> None:
    repository.model("a", {1: affine_model(1, 0)}, _config(in_dims="5"))
    repository.model("b", {1: affine_model(1, 0)}, _config(out_dims="5"))
    assert sorted(problem.split("/")[0] for problem in await _problems(repository)) == ["a", "b"]


async def test_ensembles_in_each_other(repository: RepositoryWriter) -> None:
    for name, inner in (("a", "b"), ("b", "a")):
        repository.ensemble(name, ensemble_config([step_text(inner, {"IN": "IN"}, {"OUT": "OUT"})]))
    (problem,) = await _problems(repository)
    assert "the ensemble contains itself" in problem


async def test_no_repository(repository: RepositoryWriter) -> None:
    repository.root.rmdir()
    (problem,) = await _problems(repository)
    assert problem.endswith("allowed: a directory with one directory per model")
