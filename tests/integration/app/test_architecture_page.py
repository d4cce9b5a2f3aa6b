"""The walk through the service in docs/architecture.md is the one that a request takes."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from service.app.gateway import running_gateway
from service.app.settings import Settings
from tests.support.faces64_repository import write_faces64
from tests.support.key_file import new_key, write_keys
from tests.support.model_repository import RepositoryWriter

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "service"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def walk() -> list[tuple[str, str]]:
    """Module and function, step by step, as the page has them."""
    steps = []
    for line in PAGE.splitlines():
        if re.match(r"\| \d+ \|", line):
            modules, functions = (re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[2:4])
            if len(modules) == 1:
                modules *= len(functions)
            steps += list(zip(modules, functions, strict=True))
    return steps


class Walked:
    """The functions of the service that were called, in the order of their first calls, on all threads."""

    def __init__(self) -> None:
        self.steps: dict[tuple[str, str], None] = {}
        self.watching = False

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """As `sys.setprofile` wants it."""
        if event == "call" and self.watching:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(SERVICE):
                self.steps.setdefault((file.relative_to(SERVICE).as_posix(), frame.f_code.co_qualname))


@contextmanager
def walked() -> Iterator[Walked]:
    """Threads that are begun inside this context, and this one, are watched when told so."""
    found, before = Walked(), sys.getprofile()
    threading.setprofile(found.note)
    sys.setprofile(found.note)
    try:
        yield found
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # what it is at first


async def test_a_request_takes_the_steps_of_the_page_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    write_faces64(RepositoryWriter(repository))
    key, entry = new_key("reader")
    keys = write_keys(tmp_path / "keys.toml", entry)
    settings = Settings(model_repository=repository, api_keys_file=keys, grpc_port=0, http_port=0)
    request = pb.SynthesizeRequest(
        model="faces64",
        label_map=pb.LabelMap(raw=pb.RawLabelMap(data=bytes(64 * 64), width=64, height=64)),
        image_format=pb.IMAGE_FORMAT_PNG,
        seed=1,
    )
    with walked() as found:
        async with (
            running_gateway(settings) as gateway,
            grpc.aio.insecure_channel(gateway.grpc_address) as channel,
        ):
            stub: Any = pb_grpc.SynthesisServiceStub(channel)
            found.watching = True
            reply = await stub.Synthesize(request, metadata=(("x-api-key", key),))
            found.watching = False
    assert len(reply.images) == 1
    told = walk()
    assert len(told) > 20
    assert [step for step in found.steps if step in told] == told
