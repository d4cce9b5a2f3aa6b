"""What the package offers, and that both clients offer the same."""

from __future__ import annotations

import inspect

import grpc
import pytest

import maskweave_client
from maskweave_client import AsyncClient, Client, MaskweaveError, ServiceFailure, Unavailable
from maskweave_client._channel import channel_options
from maskweave_client._errors import error_from_rpc


def test_everything_public_is_exported_and_documented() -> None:
    public = {name for name in vars(maskweave_client) if not name.startswith("_")}
    assert public == set(maskweave_client.__all__)
    for name in ("Client", "AsyncClient", "Palette", "Picture", "Result", "Model", "MaskweaveError"):
        assert inspect.getdoc(getattr(maskweave_client, name))


@pytest.mark.parametrize("name", ["models", "model", "synthesize", "synthesize_stream", "close"])
def test_both_clients_have_the_same_methods(name: str) -> None:
    def parameters(owner: type) -> list[inspect.Parameter]:
        return list(inspect.signature(getattr(owner, name)).parameters.values())

    assert parameters(Client) == parameters(AsyncClient)
    assert inspect.getdoc(getattr(Client, name)) == inspect.getdoc(getattr(AsyncClient, name))


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
    assert (("grpc.enable_http_proxy", 0) not in channel_options(target)) == follows


def test_nobody_there() -> None:
    with Client("127.0.0.1:1", timeout=2) as client, pytest.raises(Unavailable):
        client.models()
