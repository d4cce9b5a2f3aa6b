"""TLS and mutual TLS over real sockets, and certificates that change while calls go on."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from maskweave_client import AsyncClient, Client, Unavailable
from tests.support.certificates import Authority, Pair
from tests.support.gateway_process import GatewayProcess, gateway_process

SMALL = np.zeros((64, 64), np.uint8)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Pair:
    """The server's, for one test, which may change it."""
    mounted = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    authority.issue("server").move_over(mounted)
    return mounted


@contextmanager
def tls_gateway(repository: Path, pair: Pair, **settings: object) -> Iterator[GatewayProcess]:
    with gateway_process(
        repository, tls_certificate=pair.certificate, tls_key=pair.key, **settings
    ) as gateway:
        yield gateway


def credentials(authority: Authority, client: Pair | None = None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(),
        None if client is None else client.key.read_bytes(),
        None if client is None else client.certificate.read_bytes(),
    )


def served_certificate(gateway: GatewayProcess) -> str:
    host, _, port = gateway.address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=10)


def test_tls_is_spoken_and_plain_text_is_not(repository: Path, pair: Pair, authority: Authority) -> None:
    with tls_gateway(repository, pair) as gateway:
        with Client(gateway.address, credentials=credentials(authority)) as client:
            assert client.synthesize("faces64", SMALL, seed=1).images
        with Client(gateway.address, timeout=3) as plain, pytest.raises(Unavailable):
            plain.models()
        assert "-cacert ca.crt" in gateway.output
        assert "PRIVATE KEY" not in gateway.output
        (expiry,) = re.findall(
            r'^maskweave_certificate_expiry_seconds{file=".*tls.crt"} (.*)$',
            gateway.get("/metrics"),
            re.MULTILINE,
        )
        assert 28 < (float(expiry) - time.time()) / 86_400 < 31


def test_a_client_that_trusts_another_authority_does_not_connect(
    repository: Path, pair: Pair, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "stranger")
    with (
        tls_gateway(repository, pair) as gateway,
        Client(gateway.address, credentials=credentials(stranger), timeout=3) as client,
        pytest.raises(Unavailable),
    ):
        client.models()


async def test_with_an_authority_for_clients_those_without_a_certificate_are_turned_away(
    repository: Path, pair: Pair, authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path / "clients", "clients")
    stranger = Authority(tmp_path / "strangers", "strangers").issue("stranger")
    with tls_gateway(repository, pair, tls_client_ca=clients.certificate) as gateway:
        async with AsyncClient(
            gateway.address, credentials=credentials(authority, clients.issue("friend"))
        ) as client:
            assert await client.models()
        for refused in (None, stranger):
            async with AsyncClient(
                gateway.address, credentials=credentials(authority, refused), timeout=3
            ) as client:
                with pytest.raises(Unavailable):
                    await client.models()


async def test_a_new_authority_for_clients_takes_the_place_of_the_old(
    repository: Path, pair: Pair, authority: Authority, tmp_path: Path
) -> None:
    old, new = (Authority(tmp_path / name, name) for name in ("old", "new"))
    mounted = tmp_path / "clients.crt"
    mounted.write_bytes(old.certificate.read_bytes())

    async def models(client: Pair) -> object:
        async with AsyncClient(
            gateway.address, credentials=credentials(authority, client), timeout=3
        ) as connected:
            return await connected.models()

    old_client, new_client = old.issue("client"), new.issue("client")
    with tls_gateway(repository, pair, tls_client_ca=mounted) as gateway:
        assert await models(old_client)
        mounted.write_bytes(new.certificate.read_bytes())
        assert await models(new_client)
        with pytest.raises(Unavailable):
            await models(old_client)


def test_a_new_certificate_is_served_without_a_restart_and_without_a_failed_call(
    repository: Path, pair: Pair, authority: Authority
) -> None:
    renewed = authority.issue("renewed")
    failures: list[BaseException] = []
    stop = threading.Event()
    calls = 0

    def go_on(reconnect: bool) -> None:
        nonlocal calls
        client = Client(gateway.address, credentials=credentials(authority))
        try:
            while not stop.is_set():
                if reconnect:
                    client.close()
                    client = Client(gateway.address, credentials=credentials(authority))
                client.synthesize("faces64", SMALL, seed=1)
                calls += 1
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()

    with tls_gateway(repository, pair) as gateway:
        before = served_certificate(gateway)
        threads = [threading.Thread(target=go_on, args=(reconnect,)) for reconnect in (False, True, True)]
        for thread in threads:
            thread.start()
        renewed.move_over(pair)
        gateway.wait_for_output("certificate read anew")
        done = calls
        while calls < done + 20 and not failures:
            stop.wait(0.02)
        after = served_certificate(gateway)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert before != after == renewed.certificate.read_text()


def test_a_new_certificate_that_cannot_be_used_leaves_the_one_before(
    repository: Path, pair: Pair, authority: Authority
) -> None:
    with tls_gateway(repository, pair) as gateway:
        before = served_certificate(gateway)
        pair.certificate.write_text("half of a")
        for _ in range(3):
            assert served_certificate(gateway) == before
        with Client(gateway.address, credentials=credentials(authority)) as client:
            assert client.models()
        problem = f"tls_certificate {pair.certificate}: has no certificate in PEM form"
        assert gateway.output.count(problem) == 1
        gateway.wait_for_metric('maskweave_reloads_total{result="refused",what="certificate"} 1.0')
        authority.issue("mended").move_over(pair)
        assert served_certificate(gateway) != before


def test_mounted_secrets_change_by_a_swap_of_links(
    repository: Path, authority: Authority, tmp_path: Path
) -> None:
    for version, name in enumerate(("first", "second")):
        directory = tmp_path / f"..{version}"
        directory.mkdir()
        authority.issue(name).move_over(Pair(directory / "tls.crt", directory / "tls.key"))
    (tmp_path / "..data").symlink_to("..0")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    with tls_gateway(repository, Pair(tmp_path / "tls.crt", tmp_path / "tls.key")) as gateway:
        assert served_certificate(gateway) == (tmp_path / "..0/tls.crt").read_text()
        (tmp_path / "..new").symlink_to("..1")
        (tmp_path / "..new").replace(tmp_path / "..data")
        assert served_certificate(gateway) == (tmp_path / "..1/tls.crt").read_text()
