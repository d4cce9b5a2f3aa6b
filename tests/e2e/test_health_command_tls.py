"""`maskweave health` against gateways with TLS, mutual TLS and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Pair, encrypt_key
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.health_command import health
from tests.support.key_file import new_key, write_keys

SERVING = (0, "SERVING\n", "")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture(scope="module")
def tls(repository: Path, pair: Pair) -> Iterator[GatewayProcess]:
    with gateway_process(repository, tls_certificate=pair.certificate, tls_key=pair.key) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(repository: Path, pair: Pair, authority: Authority) -> Iterator[GatewayProcess]:
    with gateway_process(
        repository,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        tls_client_ca=authority.certificate,
    ) as running:
        yield running


def own_settings(gateway: GatewayProcess, pair: Pair, **more: object) -> dict[str, str]:
    """The variables of a gateway, as its health check finds them in a container."""
    values = {
        "grpc_port": gateway.address.rpartition(":")[2],
        "tls_certificate": pair.certificate,
        "tls_key": pair.key,
        **more,
    }
    return {f"MASKWEAVE_{name.upper()}": str(value) for name, value in values.items()}


def test_the_gateways_own_settings_are_enough(tls: GatewayProcess, pair: Pair) -> None:
    assert health(**own_settings(tls, pair)) == SERVING


def test_the_gateways_own_settings_may_stand_in_a_file(
    tls: GatewayProcess, pair: Pair, tmp_path: Path
) -> None:
    file = tmp_path / "maskweave.toml"
    port = tls.address.rpartition(":")[2]
    file.write_text(f'grpc_port = {port}\ntls_certificate = "{pair.certificate}"\ntls_key = "{pair.key}"\n')
    assert health(MASKWEAVE_CONFIG=str(file)) == SERVING


def test_a_certificate_for_other_names_is_still_the_gateways_own(
    repository: Path, authority: Authority
) -> None:
    pair = authority.issue("elsewhere", names="DNS:*.example.com")
    with gateway_process(repository, tls_certificate=pair.certificate, tls_key=pair.key) as gateway:
        assert health(**own_settings(gateway, pair)) == SERVING
        options = ("--address", gateway.address, "--ca", authority.certificate)
        code, _, message = health(*options)
        assert code == 1
        assert message == (
            f"Error: {gateway.address} has a certificate that is not for '127.0.0.1'; "
            "--server-name says whom to expect\n"
        )
        assert health(*options, "--server-name", "maskweave.example.com") == SERVING


def test_who_has_taken_the_gateways_place_is_found_out(tls: GatewayProcess, authority: Authority) -> None:
    """Even with a certificate of the same authority."""
    other = authority.issue("other")
    code, printed, message = health(**own_settings(tls, other))
    assert (code, printed) == (1, "")
    assert message.startswith(
        f"Error: {tls.address} has a certificate that cannot be verified with {other.certificate}: "
    )


def test_an_authority(tls: GatewayProcess, authority: Authority) -> None:
    assert health("--address", tls.address, "--ca", authority.certificate) == SERVING
    assert health("--address", tls.address, MASKWEAVE_HEALTH_CA=str(authority.certificate)) == SERVING


def test_another_authority(tls: GatewayProcess, stranger: Authority) -> None:
    code, printed, message = health("--address", tls.address, "--ca", stranger.certificate)
    assert (code, printed) == (1, "")
    assert message == (
        f"Error: {tls.address} has a certificate that cannot be verified with {stranger.certificate}: "
        "unable to get local issuer certificate\n"
    )


def test_plain_text_where_tls_is_spoken_and_the_other_way_round(
    tls: GatewayProcess, gateway: GatewayProcess
) -> None:
    code, _, message = health("--address", tls.address)
    assert code == 1
    assert message.endswith("(it may speak TLS: --tls, --ca)\n")
    assert health("--address", gateway.address, "--tls") == (
        1,
        "",
        f"Error: {gateway.address} speaks no TLS (--no-tls)\n",
    )


def test_mutual_tls(mutual: GatewayProcess, authority: Authority, stranger: Authority) -> None:
    options = ("--address", mutual.address, "--ca", authority.certificate)
    friend = authority.issue("friend")
    assert health(*options, "--certificate", friend.certificate, "--key", friend.key) == SERVING
    foe = stranger.issue("foe")
    for client in ((), ("--certificate", foe.certificate, "--key", foe.key)):
        code, _, message = health(*options, *client)
        assert code == 1
        assert message.endswith("(it may ask for a client certificate: --certificate, --key)\n")


def test_mutual_tls_with_the_gateways_own_certificate(
    mutual: GatewayProcess, pair: Pair, authority: Authority
) -> None:
    assert health(**own_settings(mutual, pair, tls_client_ca=authority.certificate)) == SERVING


def test_a_key_where_health_checks_need_one(repository: Path, pair: Pair, tmp_path: Path) -> None:
    secret, entry = new_key()
    settings = {"api_keys_file": write_keys(tmp_path / "keys.toml", entry), "health_open": False}
    key = tmp_path / "key"
    key.write_text(f"{secret}\n")
    with gateway_process(
        repository, tls_certificate=pair.certificate, tls_key=pair.key, **settings
    ) as gateway:
        own = own_settings(gateway, pair)
        code, _, message = health(**own)
        assert code == 1
        assert message.startswith(f"Error: {gateway.address} asks for a key: ")
        assert health("--api-key-file", key, **own) == SERVING


def test_a_key_is_not_sent_in_plain_text_to_other_machines(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    code, _, message = health("--address", "192.0.2.1:50051", "--api-key-file", key)
    assert code == 1
    assert message == (
        f"Error: {key}: the key would be sent to 192.0.2.1:50051 unencrypted; allowed: with --tls\n"
    )


def test_files_that_cannot_be_used(pair: Pair, tmp_path: Path) -> None:
    text, encrypted = tmp_path / "text", tmp_path / "encrypted.key"
    text.write_text("two words")
    encrypt_key(pair.key, encrypted)
    client = (
        f"{pair.certificate}, {encrypted}: cannot be used; allowed: a certificate and its key in PEM form"
    )
    for options, problem in (
        (("--ca", tmp_path / "none"), f"{tmp_path / 'none'}: cannot be read: No such file or directory"),
        (("--ca", text), f"{text}: has no certificate in PEM form"),
        (("--certificate", pair.certificate, "--key", encrypted), f"{client}, the key without a password"),
        (("--api-key-file", text), f"{text}: is not one key; allowed: visible ASCII without spaces"),
    ):
        assert health(*options) == (1, "", f"Error: {problem}\n")
    assert health("--certificate", pair.certificate)[0] == 2
