from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.graphs_once import each_graph_once
from tests.support.made_once import kept
from tests.support.tiny_pack import make_labels, tiny_config
from training.runs.options import RunOptions
from training.sis_ug import stages
from training.sis_ug.config import PackConfig


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread, and on a busy machine wait minutes for one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def graphs_exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with each_graph_once(tmp_path_factory):
        yield


@pytest.fixture(scope="session")
def config() -> PackConfig:
    return tiny_config()


@pytest.fixture(scope="session")
def trained(config: PackConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pack trained through every stage: `pack/` its weights, `runs/` its runs, `data/` its labels."""

    def train_all(root: Path) -> None:
        (root / "pack").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            make_labels(config)
            options = RunOptions(
                folder=root / "runs", log_every=2, checkpoint_every=20, sheet_every=1000, show_progress=False
            )
            for train in stages.STAGES.values():
                train(config, root / "pack", options)

    return kept(tmp_path_factory, "tiny", train_all)
