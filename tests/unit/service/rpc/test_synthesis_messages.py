"""Requests as they come off the wire."""

from __future__ import annotations

import tracemalloc

import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.engine.base import Priority
from service.rpc.messages.requests import synthesis_from_proto
from service.synthesis.requests import Latents

LABEL_MAP = pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))


def request_with_latents(*latents: list[float]) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(
        model="tiny",
        label_map=LABEL_MAP,
        latents=pb.LatentList(latents=[pb.Latent(values=values) for values in latents]),
    )


def test_latents_are_a_sequence_of_their_values() -> None:
    source = synthesis_from_proto(request_with_latents([1, 2], [3])).latent_source
    assert isinstance(source, Latents)
    assert [list(values) for values in source.values] == [[1, 2], [3]]


def test_a_host_of_empty_latents_is_not_unpacked() -> None:
    """They take two bytes each on the wire and hundreds as Python objects."""
    message = pb.SynthesizeRequest.FromString(request_with_latents(*[[]] * 100_000).SerializeToString())
    tracemalloc.start()
    try:
        source = synthesis_from_proto(message).latent_source
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(source, Latents)
    assert len(source.values) == 100_000
    assert peak < 100_000


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (pb.PRIORITY_UNSPECIFIED, Priority.INTERACTIVE),
        (pb.PRIORITY_INTERACTIVE, Priority.INTERACTIVE),
        (pb.PRIORITY_BATCH, Priority.BATCH),
    ],
)
def test_priority(sent: pb.Priority.ValueType, meant: Priority) -> None:
    request = pb.SynthesizeRequest(model="tiny", label_map=LABEL_MAP, priority=sent)
    assert synthesis_from_proto(request).priority is meant
