"""Threads by load: alone, a request has all CPUs; beside others, each has one."""

import asyncio
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from service.engine.embedded import onnx_runtime
from service.engine.embedded.engine import EmbeddedEngine
from service.engine.embedded.model_config import ModelConfig
from service.engine.embedded.onnx_runtime import OnnxRuntime
from tests.support.arrays import row
from tests.support.inference import infer
from tests.support.model_repository import RepositoryWriter
from tests.support.model_runs import ModelRuns

Start = Callable[..., Awaitable[EmbeddedEngine]]
THREADS = 'parameters { key: "intra_op_thread_count" value { string_value: "3" } }'


async def test_a_request_that_is_alone_uses_all_cpus(
    repository: RepositoryWriter, start: Start, runs: ModelRuns
) -> None:
    repository.affine("stage", 2, 1)
    engine = await start(threads=2)
    for value in range(3):
        await infer(engine, "stage", {"IN": row(value)})
    assert runs.wide["stage"] == [True, True, True]


@pytest.mark.parametrize(("threads", "together", "wide"), [(2, 2, False), (4, 2, True), (4, 3, False)])
async def test_requests_together_share_the_cpus_while_there_are_two_for_each(
    repository: RepositoryWriter, start: Start, runs: ModelRuns, threads: int, together: int, wide: bool
) -> None:
    repository.affine("busy", 1, 0)
    repository.affine("stage", 2, 1)
    engine = await start(threads=threads)
    there, leave = threading.Barrier(together, timeout=30), threading.Event()

    def hold() -> None:
        there.wait()
        leave.wait(30)

    runs.before["busy"] = hold
    others = [asyncio.create_task(infer(engine, "busy", {"IN": row(1)})) for _ in range(together - 1)]
    await asyncio.to_thread(there.wait)
    result = await infer(engine, "stage", {"IN": row(5)})
    assert runs.wide["stage"] == [wide]
    np.testing.assert_array_equal(result.outputs["OUT"], row(11))
    leave.set()
    await asyncio.gather(*others)
    # Whoever is left has all of them again.
    await infer(engine, "stage", {"IN": row(6)})
    assert runs.wide["stage"] == [wide, True]


@pytest.mark.parametrize(
    ("extra", "threads", "opened"), [("", 4, [4, 1]), ("", 1, [1]), (THREADS, 4, [3])], ids=str
)
async def test_a_model_is_opened_for_all_cpus_and_for_one(
    repository: RepositoryWriter,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    extra: str,
    threads: int,
    opened: list[int],
) -> None:
    repository.affine("stage", 2, 1, extra=extra)
    found: list[int] = []
    original = OnnxRuntime.open

    def watched(runtime: OnnxRuntime, file: Path, config: ModelConfig, counts: Sequence[int]) -> object:
        found.extend(counts)
        return original(runtime, file, config, counts)

    monkeypatch.setattr(OnnxRuntime, "open", watched)
    engine = await start(threads=threads)
    assert found == opened
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(5)})).outputs["OUT"], row(11))


@pytest.mark.parametrize("trouble", ["no folder", "no room"])
async def test_where_nothing_can_be_written_each_session_has_weights_of_its_own(
    repository: RepositoryWriter,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: str,
) -> None:
    repository.affine("stage", 2, 1)

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if trouble == "no folder":
        monkeypatch.setattr(tempfile, "TemporaryDirectory", fails)
    else:
        monkeypatch.setattr(onnx_runtime, "_prepare", fails)
    engine = await start(threads=4)
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(5)})).outputs["OUT"], row(11))
    assert "weights are not shared between sessions" in caplog.text


async def test_nothing_is_left_in_the_temporary_folder(
    repository: RepositoryWriter, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    repository.affine("stage", 2, 1)
    engine = await start(threads=4)
    assert list(folder.iterdir()) == []
    np.testing.assert_array_equal((await infer(engine, "stage", {"IN": row(5)})).outputs["OUT"], row(11))
