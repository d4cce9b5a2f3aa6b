"""Painting over a real socket, with the generated stub."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from maskweave_client._errors import error_from_rpc
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.promises import in_time
from tests.support.slow_pack import SLOW_ONE_SECOND

Labels = NDArray[np.uint8]
RAW = pb.IMAGE_FORMAT_RAW


class Session:
    """A session whose messages are sent when the test says so."""

    def __init__(self, stub: pb_grpc.SynthesisServiceStub, *messages: pb.PaintRequest) -> None:
        self._messages: queue.SimpleQueue[pb.PaintRequest | None] = queue.SimpleQueue()
        for message in messages:
            self._messages.put(message)
        self.call = stub.Paint(self._sent(), timeout=60)

    def send(self, *messages: pb.PaintRequest) -> None:
        for message in messages:
            self._messages.put(message)

    def finish(self) -> None:
        self._messages.put(None)

    def frame(self) -> pb.PaintResponse:
        return next(self.call)

    def failure(self) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            list(self.call)
        return caught.value

    def refused_field(self) -> str:
        """The first field that the refusal names."""
        error = self.failure()
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
        translated = error_from_rpc(error.code(), error.details(), error.trailing_metadata())
        return translated.violations[0].field

    def _sent(self) -> Iterator[pb.PaintRequest]:
        while (message := self._messages.get()) is not None:
            yield message


def raw(label_map: Labels) -> pb.LabelMap:
    height, width = label_map.shape
    return pb.LabelMap(raw=pb.RawLabelMap(data=label_map.tobytes(), width=width, height=height))


def start(label_map: Labels, **fields: object) -> pb.PaintRequest:
    values = {"model": "faces64", "label_map": raw(label_map), "seed": 7, "image_format": RAW, **fields}
    return pb.PaintRequest(start=pb.PaintStart(**values))  # type: ignore[arg-type]


def update(sequence: int, **fields: object) -> pb.PaintRequest:
    return pb.PaintRequest(update=pb.PaintUpdate(sequence=sequence, **fields))  # type: ignore[arg-type]


def stroke(class_id: int, width: float, *points: tuple[float, float]) -> pb.StrokeList:
    placed = [pb.Point(x=x, y=y) for x, y in points]
    return pb.StrokeList(strokes=[pb.Stroke(class_id=class_id, width=width, points=placed)])


def expected(client: Client, label_map: Labels, seed: int) -> bytes:
    return client.synthesize("faces64", label_map, seed=seed, image_format="raw").images[0].data


def test_frames_are_what_synthesize_makes_of_the_canvas(
    client: Client, stub: pb_grpc.SynthesisServiceStub, label_map: Labels
) -> None:
    session = Session(stub, start(label_map))
    first = session.frame()
    assert (first.sequence, first.dropped_frames, first.image.seed) == (0, 0, 7)
    assert first.image.data == expected(client, label_map, 7)

    session.send(update(3, strokes=stroke(5, 8, (0, 4), (64, 4))))
    second = session.frame()
    painted = label_map.copy()
    painted[0:8] = 5
    assert second.sequence == 3
    assert second.image.data == expected(client, painted, 7)
    # A repaint costs mapper, rearranger and tail: the head's features are there from the first frame.
    assert [(stage.stage, stage.cached) for stage in second.timings.stages] == [
        ("faces64_generator_head", True),
        ("faces64_mapper_label_map", False),
        ("faces64_rearranger", False),
        ("faces64_generator_tail", False),
    ]

    session.send(update(4, seed=8))
    third = session.frame()
    assert (third.sequence, third.image.seed) == (4, 8)
    assert third.image.data == expected(client, painted, 8)

    session.send(update(5, label_map=raw(label_map)))
    session.finish()
    assert session.frame().image.data == expected(client, label_map, 8)
    with pytest.raises(StopIteration):
        session.frame()


def test_a_session_without_a_seed_stays_with_one_person(
    stub: pb_grpc.SynthesisServiceStub, label_map: Labels
) -> None:
    canvas = pb.PaintStart(model="faces64", label_map=raw(label_map), image_format=RAW)
    session = Session(stub, pb.PaintRequest(start=canvas))
    first = session.frame()
    session.send(update(1))
    session.finish()
    assert session.frame().image == first.image


def test_the_latest_canvas_wins_and_overtaken_updates_are_counted(
    stub: pb_grpc.SynthesisServiceStub, gateway: GatewayProcess
) -> None:
    canvas = np.zeros((4, 4), np.uint8)
    slow = pb.Latent(values=[3 * SLOW_ONE_SECOND])  # long enough to send three small messages meanwhile
    dropped = gateway.metric("maskweave_paint_dropped_frames_total", model="slow")
    session = Session(stub, start(canvas, model="slow", seed=None, latent=slow))
    gateway.wait_for_metric("maskweave_images_in_progress 1.0")
    session.send(*(update(number, style_strength=0.5) for number in (1, 2, 3)))
    assert [session.frame().sequence] == [0]
    latest = session.frame()
    assert (latest.sequence, latest.dropped_frames) == (3, 2)
    session.finish()
    wait_until(
        lambda: gateway.metric("maskweave_paint_dropped_frames_total", model="slow") == dropped + 2,
        lambda: "not two frames were counted",
    )


def test_bad_messages_name_the_field(stub: pb_grpc.SynthesisServiceStub, label_map: Labels) -> None:
    small = np.zeros((2, 3), np.uint8)
    cases: list[tuple[tuple[pb.PaintRequest, ...], str]] = [
        ((update(1),), "request"),
        ((start(label_map), start(label_map)), "request"),
        ((pb.PaintRequest(start=pb.PaintStart(model="faces64")),), "start.label_map"),
        ((start(label_map, model=""),), "start.model"),
        ((start(np.full((2, 2), 9, np.uint8)),), "start.label_map.raw"),
        ((start(label_map, seed=None, latent=pb.Latent(values=[1])),), "start.latent.values"),
        ((start(label_map), update(0)), "update.sequence"),
        ((start(label_map), update(1), update(1)), "update.sequence"),
        ((start(label_map), update(1, style_strength=7)), "update.style_strength"),
        ((start(label_map), update(1, label_map=raw(small))), "update.label_map"),
        ((start(label_map), update(1, strokes=pb.StrokeList())), "update.strokes.strokes"),
        ((start(label_map), update(1, strokes=stroke(9, 2, (1, 1)))), "update.strokes.strokes[0].class_id"),
        ((start(label_map), update(1, strokes=stroke(1, 0, (1, 1)))), "update.strokes.strokes[0].width"),
        ((start(label_map), update(1, strokes=stroke(1, 2))), "update.strokes.strokes[0].points"),
        (
            (start(label_map), update(1, strokes=stroke(1, 2, (1, float("nan"))))),
            "update.strokes.strokes[0].points[0].y",
        ),
        (
            (start(label_map), update(1, strokes=stroke(1, 2, *[(1.0, 1.0)] * 4097))),
            "update.strokes.strokes",
        ),
    ]
    found = [Session(stub, *messages).refused_field() for messages, _ in cases]
    assert found == [field for _, field in cases]


def test_sigterm_ends_sessions_with_unavailable(repository: Path, label_map: Labels) -> None:
    with gateway_process(repository) as gateway, channel_to(gateway) as channel:
        session = Session(pb_grpc.SynthesisServiceStub(channel), start(label_map))
        session.frame()
        gateway.terminate()
        error = session.failure()
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
        assert gateway.wait() == 0


def test_a_silent_session_is_ended(repository: Path, label_map: Labels) -> None:
    with (
        gateway_process(repository, paint_idle_timeout_seconds=0.5) as gateway,
        channel_to(gateway) as channel,
    ):
        session = Session(pb_grpc.SynthesisServiceStub(channel), start(label_map))
        session.frame()
        with in_time(0.5):
            error = session.failure()
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        translated = error_from_rpc(error.code(), error.details(), error.trailing_metadata())
        assert translated.reason == "SESSION_IDLE"
