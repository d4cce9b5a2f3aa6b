from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from service.engine.embedded.engine import EmbeddedEngine
from service.engine.embedded.runtime import Allowed
from tests.support.model_repository import RepositoryWriter
from tests.support.model_runs import ModelRuns

_DEFAULT = Allowed()


@pytest.fixture
def repository(tmp_path: Path) -> RepositoryWriter:
    """An empty model repository on disk."""
    root = tmp_path / "repository"
    root.mkdir()
    return RepositoryWriter(root)


@pytest.fixture
async def runs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelRuns]:
    """Watches the runs of all ONNX models."""
    runs = ModelRuns(monkeypatch)
    yield runs
    runs.release_all()


@pytest.fixture
async def start(
    repository: RepositoryWriter, runs: ModelRuns
) -> AsyncIterator[Callable[..., Awaitable[EmbeddedEngine]]]:
    """Starts an engine on the repository; it is closed after the test."""
    engines: list[EmbeddedEngine] = []

    async def start_engine(
        threads: int = 2, cache_bytes: int = 2**20, allowed: Allowed = _DEFAULT
    ) -> EmbeddedEngine:
        engine = EmbeddedEngine(repository.root, threads=threads, cache_bytes=cache_bytes, allowed=allowed)
        await engine.start()
        engines.append(engine)
        return engine

    yield start_engine
    runs.release_all()
    for engine in engines:
        await engine.close()
