"""Painting with both clients, on a real gateway."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave_client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    Frame,
    InvalidRequest,
    Stroke,
    Unavailable,
)
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.slow_pack import SLOW_ONE_SECOND

Labels = NDArray[np.uint8]


def painted(label_map: Labels) -> Labels:
    """The label map with a stroke of class 5, 8 pixels wide, along its upper edge."""
    canvas = label_map.copy()
    canvas[0:8] = 5
    return canvas


EDGE = [(0, 4), (64, 4)]


def test_strokes_and_updates_give_frames_that_name_them(client: Client, label_map: Labels) -> None:
    with client.paint("faces64", label_map, seed=7, image_format="raw") as session:
        frames = [next(session)]
        assert session.stroke(5, EDGE, width=8) == 1
        frames.append(next(session))
        assert session.update(seed=8) == 2
        frames.append(next(session))
        assert session.update(label_map=label_map, style_strength=1.0) == 3
        session.finish()
        frames += session
    expected = [
        client.synthesize("faces64", canvas, seed=seed, style_strength=strength, image_format="raw")
        for canvas, seed, strength in [
            (label_map, 7, None),
            (painted(label_map), 7, None),
            (painted(label_map), 8, None),
            (label_map, 8, 1.0),
        ]
    ]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert [frame.image for frame in frames] == [result.images[0] for result in expected]
    assert {frame.model_version for frame in frames} == {expected[0].model_version}
    assert all(frame.timings.total_seconds > 0 for frame in frames)


async def test_the_asynchronous_client_paints_the_same(
    gateway: GatewayProcess, client: Client, label_map: Labels
) -> None:
    frames: list[Frame] = []
    async with AsyncClient(gateway.address) as other, other.paint("faces64", label_map, seed=7) as session:
        frames.append(await anext(session))
        assert await session.stroke(5, EDGE, width=8) == 1
        frames.append(await anext(session))
        assert await session.update(strokes=[Stroke(0, [(1, 1)], 2), Stroke(5, EDGE, 8)], seed=8) == 2
        await session.finish()
        frames += [frame async for frame in session]
        with pytest.raises(ValueError, match="takes no more updates"):
            await session.update(seed=9)
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    canvas = painted(label_map)
    expected = [client.synthesize("faces64", canvas, seed=seed).images[0] for seed in (7, 8)]
    assert [frame.image for frame in frames[1:]] == expected


def test_one_thread_may_paint_while_another_reads(client: Client, gateway: GatewayProcess) -> None:
    blank = np.zeros((4, 4), np.uint8)
    with client.paint("slow", blank, latent=[SLOW_ONE_SECOND / 4]) as session:
        frames: list[Frame] = []
        reader = threading.Thread(target=lambda: frames.extend(session))
        reader.start()
        gateway.wait_until_in_flight(1, "Paint")
        for _ in range(50):
            last = session.update(style_strength=0.5)
        session.finish()
        reader.join(30)
    assert last == 50
    assert frames[-1].sequence == 50
    # The canvas as it began and each update have a frame of their own, or are counted as having none.
    assert len(frames) + sum(frame.dropped_frames for frame in frames) == 1 + 50


def test_the_failure_of_a_session_is_told_to_whoever_uses_it(client: Client, label_map: Labels) -> None:
    with client.paint("faces64", label_map, seed=7) as session:
        session.stroke(9, [(1, 1)], width=2)
        with pytest.raises(InvalidRequest) as caught:
            list(session)
        assert caught.value.violations[0].field == "update.strokes.strokes[0].class_id"
        with pytest.raises(InvalidRequest):
            session.stroke(1, [(1, 1)], width=2)


@pytest.mark.parametrize("attempt", range(5))
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
async def test_a_failure_is_not_lost_when_an_update_crosses_it(
    gateway: GatewayProcess, label_map: Labels, reads: bool, attempt: int
) -> None:
    """With gRPC alone the caller would mostly be told INTERNAL here."""
    del attempt  # which message crosses is chance
    async with AsyncClient(gateway.address) as client, client.paint("faces64", label_map) as session:

        async def read() -> None:
            async for _ in session:
                pass

        reader = asyncio.create_task(read()) if reads else None
        with pytest.raises(InvalidRequest, match="class_id: got 9"):  # noqa: PT012 - which one hears is chance
            await session.stroke(9, [(1, 1)], width=2)
            while True:
                await session.stroke(1, [(1, 1)], width=2)
        with pytest.raises(InvalidRequest, match="class_id: got 9"):
            await (reader or read())


def test_nothing_is_sent_that_cannot_be(client: Client, label_map: Labels) -> None:
    with client.paint("faces64", label_map, seed=7) as session:
        assert next(session).sequence == 0
        with pytest.raises(ValueError, match="seed: got -1"):
            session.update(seed=-1)
        assert session.update(seed=8) == 1, "a number was spent on what was not sent"
        assert next(session).sequence == 1


def test_a_session_that_is_left_is_over(client: Client, gateway: GatewayProcess, label_map: Labels) -> None:
    with client.paint("faces64", label_map, seed=7) as session:
        next(session)
        gateway.wait_until_in_flight(1, "Paint")
    gateway.wait_until_in_flight(0, "Paint")
    with pytest.raises(ValueError, match="takes no more updates"):
        session.stroke(1, [(1, 1)], width=2)
    with pytest.raises(Cancelled):
        next(session)


async def test_who_waits_for_a_frame_hears_that_the_session_was_closed(
    gateway: GatewayProcess, label_map: Labels
) -> None:
    async with AsyncClient(gateway.address) as client, client.paint("faces64", label_map, seed=7) as session:
        await anext(session)
        waiting = asyncio.ensure_future(anext(session))
        await asyncio.wait((waiting,), timeout=0.2)
        await session.close()
        with pytest.raises(Cancelled):
            await waiting


def test_a_session_may_have_a_limit_of_its_own(client: Client, label_map: Labels) -> None:
    with client.paint("faces64", label_map, seed=7, timeout=0.5) as session, pytest.raises(DeadlineExceeded):
        list(session)


async def test_nobody_there(label_map: Labels) -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(Unavailable):
        next(client.paint("faces64", label_map))
    async with AsyncClient("127.0.0.1:1") as other:
        with pytest.raises(Unavailable):
            await anext(other.paint("faces64", label_map))


def test_idle_sessions_are_told_why_they_ended(repository: Path, label_map: Labels) -> None:
    with (
        gateway_process(repository, paint_idle_timeout_seconds=0.3) as gateway,
        Client(gateway.address) as client,
        client.paint("faces64", label_map) as session,
        pytest.raises(DeadlineExceeded) as caught,
    ):
        list(session)
    assert caught.value.reason == "SESSION_IDLE"
