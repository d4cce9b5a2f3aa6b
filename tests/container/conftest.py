"""The images, built for real once for all tests here. Not part of `make test`: see `make image-test`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.buildah import Buildah, ensure_tools
from tests.support.container import Container, running_container


@dataclass(frozen=True)
class Image:
    """A built image: its name, configuration, files, and how long building took."""

    name: str
    configuration: dict[str, Any]
    root: Path
    build_seconds: float


@pytest.fixture(scope="session")
def buildah() -> Buildah:
    """buildah, with everything that it needs."""
    ensure_tools()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Buildah(cache / "maskweave" / "images")


@pytest.fixture(scope="session")
def base(buildah: Buildah) -> str:
    """The image that stands in for the public bases."""
    return buildah.base()


@pytest.fixture(scope="session")
def image(buildah: Buildah, base: str) -> Iterator[Image]:
    """The gateway's image."""
    began = time.monotonic()
    with buildah.built("gateway", PYTHON_IMAGE=base) as name:
        seconds = time.monotonic() - began
        with buildah.mounted(name) as root:
            yield Image(name, buildah.configuration(name), root, seconds)


@pytest.fixture
def container(image: Image, ports: dict[str, str]) -> Iterator[Container]:
    """The gateway's container, started this moment."""
    with running_container(image.root, image.configuration, **ports) as running:
        yield running
