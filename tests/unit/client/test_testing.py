"""The service that callers' tests use: it answers every call of the client."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Client, NotFound, Overloaded, Retry, Scribble, Seed, Stroke
from maskweave_client.testing import FakeService

FACE = np.kron(np.arange(8, dtype=np.uint8).reshape(2, 4), np.ones((4, 2), np.uint8))


def test_every_call_is_answered_and_images_show_the_label_map() -> None:
    with FakeService(("faces64", "dolls"), side=32) as service, Client(service.address) as client:
        assert [model.name for model in client.models()] == ["faces64", "dolls"]
        palette = client.model("faces64").palette
        expected = np.array([entry.rgb for entry in palette], np.uint8)[
            np.kron(FACE, np.ones((4, 4), np.uint8))
        ]
        one, other = client.synthesize("faces64", FACE, seed=7, number_of_images=2).images
        assert np.array_equal(one.to_numpy()[1:], expected[1:])
        assert (tuple(one.to_numpy()[0, 0]), other.seed) == ((0, 0, 7), 8)
        streamed = [each.image.data for each in client.synthesize_stream("faces64", FACE, seeds=[7, 8])]
        assert streamed == [one.data, other.data]
        for image_format in ("jpeg", "webp", "raw"):
            image = client.synthesize("faces64", FACE, seed=7, image_format=image_format).images[0]
            assert image.to_numpy().shape == (32, 32, 3)
        client.synthesize("faces64", scribble=Scribble([Stroke(1, [(1, 1)], width=2)]))
        client.synthesize("faces64", sketch=np.zeros((8, 8), np.uint8))
        assert client.edit("faces64", 7, FACE, source=FACE[::-1]).images[0].data == one.data
        reading = client.read_label_map("faces64", 7)
        assert reading.image is not None
        again = client.synthesize("faces64", reading.label_map, seed=7).images[0]
        assert (again.data, set(np.unique(reading.label_map))) == (reading.image.data, set(range(8)))
        assert client.read_label_map("faces64", one.to_pil()).image is None
        codes = client.encode_styles("faces64", one.to_pil(), np.kron(FACE, np.ones((4, 4), np.uint8)))
        assert set(codes) == set(range(8))
        client.synthesize("faces64", FACE, styles={1: codes[1], 2: Seed(3)})
        frames = list(client.morph("faces64", FACE, codes, {1: Seed(1)}, number_of_frames=3, last_position=2))
        assert [frame.position for frame in frames] == [0, 1, 2]
        with client.paint("faces64", FACE, seed=7) as session:
            assert next(session).image.data == one.data
            number = session.update(seed=8)
            session.finish()
            (last,) = session
            assert (last.sequence, last.image.data) == (number, other.data)
    assert isinstance(service.requests[0], pb.ListModelsRequest)


def test_it_fails_when_it_is_told_to() -> None:
    with FakeService() as service:
        with Client(service.address, retry=None) as once:
            service.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after_seconds=0.01)
            with pytest.raises(Overloaded, match="busy") as refused:
                once.synthesize("faces64", FACE)
            assert refused.value.retry_after_seconds == 0.01
            with pytest.raises(NotFound, match="nobody"):
                once.synthesize("nobody", FACE)
        service.requests.clear()
        with Client(service.address, retry=Retry(attempts=3)) as patient:
            service.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_seconds=0.001, times=2)
            patient.synthesize("faces64", FACE)
        assert len(service.requests) == 3
