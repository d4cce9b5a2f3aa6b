"""The students of a pack, built from its configuration and from what is stored of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import nn

from training.config.weights import load_weights, weights_path
from training.generators.base import Generator
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.students.low_rank import NARROW, spatial_convolutions, with_ranks
from training.sis_ug.students.proxy_reader import ProxyReader

Network = TypeVar("Network", bound=nn.Module)


def proxy_reader(config: PackConfig, generator: Generator) -> ProxyReader:
    """Features at the attended resolutions -> proxy logits `[B, K, m, m]`."""
    attended = (level.resolution for level in config.rearranger.levels)
    return ProxyReader(
        {r: generator.channels[r] for r in attended},
        config.proxies.clusters,
        config.proxies.resolution,
        students_section(config).reader.width,
    )


def load_low_rank(teacher: Network, folder: Path, name: str) -> Network:
    """A student of low rank: built as its teacher, with the ranks that its file has.

    Raises:
        FileNotFoundError: if it has not been trained.
        ValueError: if the file is damaged or does not fit the teacher.
    """
    path = weights_path(folder, name)
    ranks = _stored_ranks(path)
    known = spatial_convolutions(teacher)
    if unknown := sorted(set(ranks) - set(known)):
        raise ValueError(f"{path} does not fit the pack's configuration: its teacher has no {unknown[0]!r}")
    return load_weights(with_ranks(teacher, ranks), folder, name)


def _stored_ranks(path: Path) -> dict[str, int]:
    """None where there is no file, or a damaged one: what loads the weights says so."""
    if not path.exists():
        return {}
    try:
        with safe_open(path, "pt") as stored:
            names = [key for key in stored.keys() if key.endswith(NARROW)]  # noqa: SIM118 - no mapping
            return {key.removesuffix(NARROW): stored.get_slice(key).get_shape()[0] for key in names}
    except SafetensorError:
        return {}
