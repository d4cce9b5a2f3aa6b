"""What the package offers, and that both clients offer the same."""

from __future__ import annotations

import inspect
from types import ModuleType

import grpc
import pytest

import maskweave_client
from maskweave_client import (
    AsyncClient,
    AsyncPaintSession,
    Client,
    MaskweaveError,
    PaintSession,
    Retry,
    ServiceFailure,
    Unavailable,
)
from maskweave_client._channel import channel_options
from maskweave_client._errors import error_from_rpc


def test_everything_public_is_exported_and_documented() -> None:
    public = {
        name
        for name, value in vars(maskweave_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)  # modules that others have imported
    }
    assert public == set(maskweave_client.__all__)
    documented = (getattr(maskweave_client, name) for name in public)
    assert all(inspect.getdoc(each) for each in documented if inspect.isclass(each))


@pytest.mark.parametrize(
    "name",
    [
        "models",
        "model",
        "synthesize",
        "synthesize_stream",
        "paint",
        "encode_styles",
        "morph",
        "edit",
        "read_label_map",
        "close",
    ],
)
def test_both_clients_have_the_same_methods(name: str) -> None:
    def parameters(owner: type) -> list[inspect.Parameter]:
        return list(inspect.signature(getattr(owner, name)).parameters.values())

    assert parameters(Client) == parameters(AsyncClient)
    assert inspect.getdoc(getattr(Client, name)) == inspect.getdoc(getattr(AsyncClient, name))


@pytest.mark.parametrize("name", ["stroke", "update", "finish", "close"])
def test_both_sessions_have_the_same_methods(name: str) -> None:
    ours, theirs = getattr(PaintSession, name), getattr(AsyncPaintSession, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)


def test_both_clients_are_made_alike() -> None:
    def parameters(owner: type) -> dict[str, object]:
        found = inspect.signature(owner).parameters
        return {name: (each.kind, each.default) for name, each in found.items()}

    assert parameters(Client) == parameters(AsyncClient)


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_status_has_an_exception(code: grpc.StatusCode) -> None:
    error = error_from_rpc(code, "what happened", ())
    assert isinstance(error, MaskweaveError)
    assert error.code is code
    assert str(error) == "what happened"
    assert error.violations == ()


def test_unknown_statuses_are_failures_of_the_service() -> None:
    assert type(error_from_rpc(grpc.StatusCode.DATA_LOSS, "", ())) is ServiceFailure


def test_details_that_cannot_be_read_do_not_hide_the_failure() -> None:
    error = error_from_rpc(grpc.StatusCode.UNAVAILABLE, "no upstream", [("grpc-status-details-bin", b"\xff")])
    assert type(error) is Unavailable
    assert str(error) == "no upstream"


@pytest.mark.parametrize(
    ("target", "follows"),
    [
        ("localhost:50051", False),
        ("127.0.0.1:50051", False),
        ("[::1]:50051", False),
        ("dns:///localhost:50051", False),
        ("ipv4:127.0.0.1:50051", False),
        ("maskweave.example:50051", True),
        ("not-localhost:50051", True),
        ("localhost.example:50051", True),
        ("[fe80::1]:50051", True),
    ],
)
def test_only_the_way_to_other_machines_follows_the_proxy_settings(target: str, follows: bool) -> None:
    assert (("grpc.enable_http_proxy", 0) not in channel_options(target, Retry())) == follows


KEY = "mwk_" + "k" * 43


@pytest.mark.parametrize("target", ["gateway.example:50051", "dns:///gateway.example", "10.0.0.1:50051"])
def test_a_key_goes_to_other_machines_encrypted_or_on_request(target: str) -> None:
    with pytest.raises(ValueError, match="unencrypted") as caught:
        Client(target, api_key=KEY)
    assert KEY not in str(caught.value)
    Client(target, api_key=KEY, allow_insecure_key=True).close()
    Client(target, api_key=KEY, credentials=grpc.ssl_channel_credentials()).close()


@pytest.mark.parametrize("key", ["", "two words", "línea", "new\nline"])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="not a key") as caught:
        Client(api_key=key)
    assert not key or key not in str(caught.value)


def test_a_client_does_not_show_its_key() -> None:
    with Client(api_key=KEY) as client:
        assert KEY not in repr(client)


def test_nobody_there() -> None:
    with Client("127.0.0.1:1", timeout=2) as client, pytest.raises(Unavailable):
        client.models()
