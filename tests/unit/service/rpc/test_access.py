"""From metadata to keys and scopes."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.access.keys import Keys
from service.core.errors import PermissionDenied, Unauthenticated
from service.core.metrics import Metrics, Rpc
from service.rpc.access import METHOD_SCOPES, Access
from service.rpc.calls import Calls
from tests.support.key_file import new_key

KEY, ENTRY = new_key("studio")
EDITOR_KEY, EDITOR = new_key("editor", "edit")
ACCESS = Access(Keys([ENTRY, EDITOR]))


def test_every_method_of_the_service_has_its_scopes() -> None:
    methods = pb.DESCRIPTOR.services_by_name["SynthesisService"].methods_by_name
    assert METHOD_SCOPES.keys() == set(methods)
    assert all(METHOD_SCOPES.values())


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer  {KEY} ")],
        [("x-api-key", KEY)],
        [("x-request-id", "1"), ("authorization", f"BEARER {KEY}"), ("x-bin", b"\xff")],
    ],
)
def test_a_key_is_taken_from_either_name(metadata: list[tuple[str, str | bytes]]) -> None:
    assert ACCESS.permit("Synthesize", metadata) == ENTRY


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "needs a key; send the metadata `authorization: Bearer <key>`"),
        ([], "needs a key"),
        ([("authorization", KEY)], "not of the form"),
        ([("authorization", f"Basic {KEY}")], "not of the form"),
        ([("authorization", "Bearer ")], "not known"),
        ([("authorization", f"Bearer {KEY}x")], "not known"),
        ([("x-api-key", "")], "not known"),
        ([("authorization", "Bearer x"), ("x-api-key", KEY)], "not known"),
    ],
)
def test_other_metadata_is_refused_without_the_key(
    metadata: list[tuple[str, str | bytes]] | None, told: str
) -> None:
    with pytest.raises(Unauthenticated, match=told) as caught:
        ACCESS.identify(metadata)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("method", ["Synthesize", "SynthesizeStream", "Paint", "Morph"])
def test_a_key_for_something_else_is_refused(method: str) -> None:
    with pytest.raises(PermissionDenied, match="'editor' has the scopes edit; this needs synthesize"):
        ACCESS.permit(method, [("x-api-key", EDITOR_KEY)])


def test_edits_are_for_editors_alone() -> None:
    assert ACCESS.permit("Edit", [("x-api-key", EDITOR_KEY)]) == EDITOR
    with pytest.raises(PermissionDenied, match="'studio' has the scopes synthesize; this needs edit"):
        ACCESS.permit("Edit", [("x-api-key", KEY)])


@pytest.mark.parametrize("method", ["ListModels", "GetModel", "EncodeStyles"])
def test_models_and_codes_are_for_editors_too(method: str) -> None:
    assert ACCESS.permit(method, [("x-api-key", EDITOR_KEY)]) == EDITOR


def test_new_keys_take_the_place_of_the_old() -> None:
    access = Access(Keys([ENTRY]))
    access.accept(Keys([EDITOR]))
    assert access.identify([("x-api-key", EDITOR_KEY)]) == EDITOR
    with pytest.raises(Unauthenticated):
        access.identify([("x-api-key", KEY)])


class FakeContext:
    """What a call needs of gRPC."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.code: grpc.StatusCode | None = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-api-key", self._key),)

    def time_remaining(self) -> None:
        return None

    def peer(self) -> str:
        return "ipv4:10.0.0.1:1"

    def set_trailing_metadata(self, _: object) -> None:
        pass

    async def abort(self, code: grpc.StatusCode, *_: object) -> None:
        self.code = code
        raise grpc.aio.AbortError


async def test_overload_costs_a_key_nothing_of_its_rate_and_a_call_is_its_keys() -> None:
    slow_key, slow = new_key("slow", requests_per_second=0.001, burst=1)
    calls = Calls(Metrics(), max_concurrent=1, default_timeout_seconds=5, access=Access(Keys([ENTRY, slow])))

    async def caller_of(key: str) -> str | grpc.StatusCode | None:
        context: Any = FakeContext(key)
        try:
            async with calls.take(Rpc("s", "Synthesize"), context) as call:
                return call.caller
        except grpc.aio.AbortError:
            return context.code  # type: ignore[no-any-return]

    other: Any = FakeContext(KEY)
    async with calls.take(Rpc("s", "Synthesize"), other) as call:
        assert call.caller == "studio"
        assert await caller_of(slow_key) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await caller_of("wrong") is grpc.StatusCode.UNAUTHENTICATED
    assert await caller_of(slow_key) == "slow"
    assert await caller_of(slow_key) is grpc.StatusCode.RESOURCE_EXHAUSTED
