"""A repository on disk, served: what comes out, and how a wrong call is refused."""

import asyncio
import io
import logging
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.core.errors import EngineFailure, InvalidArgument, Unavailable
from service.core.log_lines import TextLines
from service.core.logging import request_context
from service.engine.base import Array, Engine, Inference, InferenceContext, Task
from service.engine.embedded.engine import EmbeddedEngine
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import (
    RepositoryWriter,
    affine_model,
    ensemble_config,
    onnx_config,
    onnx_model,
    step_text,
    tensor_text,
)
from tests.support.model_runs import ModelRuns

Start = Callable[..., Awaitable[EmbeddedEngine]]


async def test_an_ensemble_computes_what_its_graph_says(repository: RepositoryWriter, start: Start) -> None:
    repository.diamond()
    engine: Engine = await start()
    result = await infer(engine, "diamond", {"IN": np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)})
    np.testing.assert_array_equal(result.outputs["OUT"], [[9, 17, 25, 33], [41, 49, 57, 65]])
    assert [timing.model for timing in result.timings] == ["head", "left", "right", "join"]
    assert all(timing.compute_seconds > 0 and timing.queue_seconds >= 0 for timing in result.timings)
    assert not any(timing.cached for timing in result.timings)


async def test_a_task_and_all_its_stages_run_on_one_thread(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond()
    engine = await start(threads=2)
    threads: list[int] = []

    def note() -> None:
        threads.append(threading.get_ident())

    runs.before = dict.fromkeys(("head", "left", "right", "join"), note)

    def task() -> Task[str]:
        note()
        first = yield Inference("diamond", {"IN": row(1)}, ("OUT",))
        note()
        second = yield Inference("left", {"IN": first.outputs["OUT"]}, ("OUT",))
        note()
        return f"{second.outputs['OUT'][0, 0]:g}"

    assert await engine.run(task()) == "10"
    assert (len(threads), len(set(threads))) == (3 + 4 + 1, 1)
    assert threads[0] != threading.get_ident()


async def test_what_an_inference_raises_is_raised_in_the_task_which_may_go_on(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.affine("double", 2, 0)
    engine = await start()

    def task() -> Task[float]:
        with pytest.raises(EngineFailure, match="no model 'triple'"):
            yield Inference("triple", {"IN": row(1)}, ("OUT",))
        result = yield Inference("double", {"IN": row(1)}, ("OUT",))
        return float(result.outputs["OUT"][0, 0])

    assert await engine.run(task()) == 2


async def test_what_a_task_raises_reaches_its_caller(repository: RepositoryWriter, start: Start) -> None:
    repository.affine("double", 2, 0)
    engine = await start()

    def task() -> Task[None]:
        yield Inference("double", {"IN": row(1)}, ("OUT",))
        raise InvalidArgument("label_map", "4 pixels", "16")

    with pytest.raises(InvalidArgument, match="label_map: got 4 pixels"):
        await engine.run(task())


async def test_models_tell_what_they_are(repository: RepositoryWriter, start: Start) -> None:
    repository.diamond(extra='parameters { key: "maskweave.pack" value: { string_value: "faces64" } }')
    models = (await start()).models()
    assert set(models) == {"diamond", "head", "left", "right", "join"}
    diamond = models["diamond"]
    assert (diamond.name, diamond.version, diamond.max_batch_size) == ("diamond", 1, 8)
    assert diamond.parameters == {"maskweave.pack": "faces64"}
    assert diamond.steps[0] == "head"
    assert set(diamond.steps[1:3]) == {"left", "right"}
    assert diamond.steps[3] == "join"
    (tensor,) = diamond.inputs
    assert (tensor.name, tensor.shape) == ("IN", (4,))
    assert tensor.dtype == np.float32
    assert models["head"].steps == ()


async def test_an_ensemble_may_be_a_step(repository: RepositoryWriter, start: Start) -> None:
    repository.diamond()
    steps = [step_text("diamond", {"IN": "IN"}, {"OUT": "x"}), step_text("left", {"IN": "x"}, {"OUT": "OUT"})]
    repository.ensemble("outer", ensemble_config(steps))
    result = await infer(await start(), "outer", {"IN": row(1)})
    np.testing.assert_array_equal(result.outputs["OUT"], row(10))
    assert len(result.timings) == 5


async def test_a_step_may_read_a_callers_input_and_a_caller_an_inner_tensor(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.affine("double", 2, 0)
    steps = [
        step_text("double", {"IN": "IN"}, {"OUT": "TWICE"}),
        step_text("double", {"IN": "TWICE"}, {"OUT": "OUT"}),
    ]
    repository.ensemble("both", ensemble_config(steps, outputs=("OUT", "TWICE")))
    engine = await start()
    result = await infer(engine, "both", {"IN": row(1)})
    assert {name: array[0, 0] for name, array in result.outputs.items()} == {"OUT": 4, "TWICE": 2}
    chosen = await infer(engine, "both", {"IN": row(1)}, outputs=["TWICE"])
    assert list(chosen.outputs) == ["TWICE"]


async def test_a_single_model_gives_the_outputs_asked_for(repository: RepositoryWriter, start: Start) -> None:
    shape = ("batch", 4)
    model = onnx_model(
        [("IN", TensorProto.FLOAT, shape)],
        [("NEGATED", TensorProto.FLOAT, shape), ("SIZE", TensorProto.FLOAT, shape)],
        [helper.make_node("Neg", ["IN"], ["NEGATED"]), helper.make_node("Abs", ["IN"], ["SIZE"])],
    )
    repository.model("signs", {1: model}, onnx_config(outputs=("NEGATED", "SIZE")))
    engine = await start()
    assert list((await infer(engine, "signs", {"IN": row(-1)})).outputs) == ["NEGATED", "SIZE"]
    chosen = await infer(engine, "signs", {"IN": row(-1)}, outputs=["SIZE"])
    np.testing.assert_array_equal(chosen.outputs["SIZE"], row(1))
    assert list(chosen.outputs) == ["SIZE"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(16, dtype=np.float32).reshape(2, 8)[:, ::2],
        np.asfortranarray(np.arange(8, dtype=np.float32).reshape(2, 4)),
        np.frombuffer(np.arange(8, dtype=np.float32).tobytes(), np.float32).reshape(2, 4),
    ],
    ids=["strided", "column-major", "read-only"],
)
async def test_any_memory_layout_is_right(repository: RepositoryWriter, start: Start, array: Array) -> None:
    repository.affine("double", 2, 1)
    result = await infer(await start(), "double", {"IN": array})
    np.testing.assert_array_equal(result.outputs["OUT"], array * 2 + 1)


async def test_a_model_without_batches(repository: RepositoryWriter, start: Start) -> None:
    text = onnx_config(max_batch_size=0).replace("dims: [ 4 ]", "dims: [ -1, 4 ]")
    repository.model("plain", {1: affine_model(2, 0)}, text)
    result = await infer(await start(), "plain", {"IN": row(1, batch=50)})
    np.testing.assert_array_equal(result.outputs["OUT"], row(2, batch=50))


async def test_outputs_cannot_be_changed_by_their_receiver(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.diamond()
    result = await infer(await start(), "diamond", {"IN": row(1)})
    with pytest.raises(ValueError, match="read-only"):
        result.outputs["OUT"][0, 0] = 5


async def test_many_callers_at_once_each_get_their_own_answer(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.diamond(head_extra="response_cache { enable: true }")
    engine = await start(cache_bytes=200)  # so small that entries come and go all the time
    values = [number % 37 for number in range(300)]
    results = await asyncio.gather(*(infer(engine, "diamond", {"IN": row(value)}) for value in values))
    for value, result in zip(values, results, strict=True):
        np.testing.assert_array_equal(result.outputs["OUT"], row(8 * value + 1))


async def test_wrong_inferences_are_failures_of_the_service(
    repository: RepositoryWriter, start: Start
) -> None:
    repository.diamond()
    engine = await start()
    with pytest.raises(EngineFailure, match="no model 'dimond'; the engine has: diamond, head, join, left"):
        await infer(engine, "dimond", {"IN": row(1)})
    with pytest.raises(EngineFailure, match=r"diamond.inputs\[IN\]: got nothing; allowed: TYPE_FP32"):
        await infer(engine, "diamond", {})
    with pytest.raises(EngineFailure, match=r"diamond.inputs\[IN\]: got a batch of 9; allowed: 1 to 8"):
        await infer(engine, "diamond", {"IN": row(1, batch=9)})
    with pytest.raises(EngineFailure, match=r"diamond.inputs: got 'SIZE'; allowed: IN"):
        await infer(engine, "diamond", {"IN": row(1), "SIZE": row(1)})
    with pytest.raises(EngineFailure, match=r"diamond.outputs: got 'IN'; allowed: OUT"):
        await infer(engine, "diamond", {"IN": row(1)}, outputs=["IN"])
    with pytest.raises(EngineFailure, match=r"diamond.outputs: got none; allowed: OUT"):
        await infer(engine, "diamond", {"IN": row(1)}, outputs=[])


async def test_sizes_the_configs_leave_open_are_checked_between_steps(
    repository: RepositoryWriter, start: Start
) -> None:
    open_config = "".join(
        (
            'backend: "onnxruntime" max_batch_size: 8\n',
            tensor_text("input", "IN", dims="-1"),
            tensor_text("output", "OUT", dims="-1"),
        )
    )
    shape = ("batch", "width")
    model = onnx_model(
        [("IN", TensorProto.FLOAT, shape)],
        [("OUT", TensorProto.FLOAT, shape)],
        [helper.make_node("Neg", ["IN"], ["OUT"])],
    )
    repository.model("negate", {1: model}, open_config)
    repository.affine("double", 2, 0)
    steps = [
        step_text("negate", {"IN": "IN"}, {"OUT": "x"}),
        step_text("double", {"IN": "x"}, {"OUT": "OUT"}),
    ]
    config = ensemble_config(steps).replace("dims: [ 4 ]", "dims: [ -1 ]", 1)
    repository.ensemble("chain", config)
    engine = await start()
    np.testing.assert_array_equal((await infer(engine, "chain", {"IN": row(1)})).outputs["OUT"], row(-2))
    # Nothing that a caller sent: a failure of the service, not of an argument.
    with pytest.raises(EngineFailure, match=r"double.inputs\[IN\]: got TYPE_FP32 \[ 1, 5 \]"):
        await infer(engine, "chain", {"IN": np.ones((1, 5), np.float32)})


async def test_a_model_that_fails_fails_its_request_only(repository: RepositoryWriter, start: Start) -> None:
    model = onnx_model(
        [("INDEX", TensorProto.INT64, ("batch", 1))],
        [("OUT", TensorProto.FLOAT, ("batch", 1))],
        [
            helper.make_node("Constant", [], ["table"], value_floats=[1.0, 2.0]),
            helper.make_node("Gather", ["table", "INDEX"], ["OUT"]),
        ],
    )
    text = tensor_text("input", "INDEX", "TYPE_INT64", "1") + tensor_text("output", "OUT", dims="1")
    repository.model("pick", {1: model}, f'backend: "onnxruntime" max_batch_size: 8\n{text}')
    engine = await start(threads=1)
    for _ in range(3):
        with pytest.raises(EngineFailure, match=r"pick version 1 failed: .*out of data bounds"):
            await infer(engine, "pick", {"INDEX": np.array([[7]])})
    result = await infer(engine, "pick", {"INDEX": np.array([[1]])})
    assert result.outputs["OUT"] == [[2.0]]


async def test_an_output_of_another_shape_than_promised_is_a_failure(
    repository: RepositoryWriter, start: Start
) -> None:
    model = onnx_model(
        [("IN", TensorProto.FLOAT, ("batch", 4))],
        [("OUT", TensorProto.INT64, ("count", 2))],
        [
            helper.make_node("NonZero", ["IN"], ["indices"]),
            helper.make_node("Transpose", ["indices"], ["OUT"], perm=[1, 0]),
        ],
    )
    text = onnx_config(outputs=()) + tensor_text("output", "OUT", "TYPE_INT64", "2")
    repository.model("nonzero", {1: model}, text)
    engine = await start()
    with pytest.raises(EngineFailure, match=r"nonzero gave OUT of shape \[ 8, 2 \], not \[ 2, 2 \]"):
        await infer(engine, "nonzero", {"IN": row(1, batch=2)})


async def test_the_request_id_is_in_the_log(repository: RepositoryWriter, start: Start) -> None:
    repository.affine("double", 2, 0)
    engine = await start()
    logger, lines = logging.getLogger("service.engine.embedded"), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(TextLines())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def task() -> Task[None]:
        logging.getLogger("service.engine.embedded.task").warning("decoded")
        yield Inference("double", {"IN": row(1)}, ("OUT",))

    try:
        await engine.run(task(), InferenceContext(request_id="r-1"))
        with request_context("r-2"):
            await engine.run(task())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    for request_id in ("r-1", "r-2"):
        assert f'model="double" stages=1 request_id="{request_id}"' in lines.getvalue()
        assert f'decoded request_id="{request_id}"' in lines.getvalue()


async def test_before_start_and_after_close_nothing_is_served(repository: RepositoryWriter) -> None:
    repository.affine("double", 2, 0)
    engine = EmbeddedEngine(repository.root, threads=1, cache_bytes=0)
    assert not engine.models()
    with pytest.raises(Unavailable):
        await infer(engine, "double", {"IN": row(1)})
    await engine.start()
    assert set(engine.models()) == {"double"}
    await engine.close()
    await engine.close()
    assert not engine.models()
    with pytest.raises(Unavailable):
        await infer(engine, "double", {"IN": row(1)})


async def test_close_lets_requests_in_progress_finish(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.diamond()
    engine = await start()
    hold = runs.hold("head")
    request = asyncio.create_task(infer(engine, "diamond", {"IN": row(1)}))
    await hold.reached.wait()
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await infer(engine, "diamond", {"IN": row(1)})
    assert not closing.done()
    hold.release()
    np.testing.assert_array_equal((await request).outputs["OUT"], row(9))
    await closing
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine")]
