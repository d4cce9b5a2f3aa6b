"""Names under which the HTTP port is asked for: those that somebody else's page could have are refused."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import WSServerHandshakeError

from service.app.hosts import Hosts
from service.app.playground import About, playground_routes
from service.rpc.web.socket_channel import SUBPROTOCOL
from tests.support.fake_engine import FakeEngine
from tests.support.service_stack import service_on
from tests.support.web_stack import path_of, web_server

LOOPBACK = Hosts.parse([], "127.0.0.1")
ADDRESSES = ["127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "10.1.2.3:8080", "[fe80::1%eth0]:8080", "0.0.0.0:1"]
LOCAL = ["localhost", "localhost:8080", "LocalHost.:80", "faces.localhost:8080"]
FOREIGN = [
    "evil.test",
    "evil.test:8080",
    "localhost.evil.test",
    "evillocalhost",
    "127.0.0.1.evil.test:8080",
    "127.1",
    "0x7f.0.0.1",
    "[::1].evil.test",
    "evil.test@localhost",
    "localhost:80:80",
    "localhost:x",
    "localhost, evil.test",
    "",
    ":8080",
]


@pytest.mark.parametrize("host", [*ADDRESSES, *LOCAL])
def test_on_the_loopback_addresses_and_the_names_of_this_machine_are_answered(host: str) -> None:
    assert LOOPBACK.allow([host])


@pytest.mark.parametrize("host", FOREIGN)
def test_on_the_loopback_other_names_are_not(host: str) -> None:
    assert not LOOPBACK.allow([host])
    assert not LOOPBACK.allow(["localhost", host])
    assert Hosts.parse(["*"], "127.0.0.1").allow([host])


def test_names_that_are_listed_are_answered() -> None:
    hosts = Hosts.parse(["paint.example.com", "*.studio.test"], "127.0.0.1")
    for host in ("paint.example.com", "PAINT.example.com.:443", "a.studio.test", "a.b.studio.test:1", *LOCAL):
        assert hosts.allow([host]), host
    for host in ("example.com", "a.paint.example.com", "studio.test", "xstudio.test", ".evil.test"):
        assert not hosts.allow([host]), host


def test_beyond_the_loopback_a_list_closes_what_is_open_without_one() -> None:
    assert Hosts.parse([], "0.0.0.0").allow(["gateway.faces.svc:8080"])
    closed = Hosts.parse(["paint.example.com"], "0.0.0.0")
    assert not closed.allow(["evil.test"])
    for host in (
        "10.1.2.3:8080",
        "localhost:8080",
        "paint.example.com",
    ):  # probes, scrapes, port-forward, people
        assert closed.allow([host])
    assert Hosts.parse(["a.test"], "Faces-Host").allow(["faces-host:8080"])


def test_no_host_at_all_comes_from_no_browser() -> None:
    assert LOOPBACK.allow([])


@pytest.mark.parametrize(
    "item", ["a.test:80", "A.test", "http://a.test", "*.*", "a*", "10.0.0.1", "a..b", "a/b"]
)
def test_what_is_no_name_is_refused(item: str) -> None:
    with pytest.raises(ValueError, match="allowed: names in lower case"):
        Hosts.parse([item], "127.0.0.1")


async def test_nothing_is_answered_under_a_name_that_somebody_pointed_here() -> None:
    """A page of `evil.test`, whose name now stands for the loopback, is the gateway's own to a browser."""
    pages = playground_routes(About())
    assert pages
    stack = service_on(FakeEngine())
    async with web_server(stack, routes=pages, hosts=LOOPBACK) as url, aiohttp.ClientSession() as session:
        port = url.rpartition(":")[2]
        for host, answered in ((f"evil.test:{port}", False), (f"localhost:{port}", True)):
            own = {"Host": host, "Origin": f"http://{host}"}
            for path in ("/", "/metrics", "/healthz", "/livez", "/playground.json", "/nothing"):
                async with session.get(url + path, headers=own) as reply:
                    assert (reply.status == 421) == (not answered), path
                    if not answered:
                        assert "allowed_hosts" in await reply.text()
            for kind in ("application/json", "application/grpc-web"):
                headers = {**own, "Content-Type": kind}
                async with session.post(url + path_of("ListModels"), data=b"{}", headers=headers) as reply:
                    assert (reply.status == 200) == answered
            async with session.options(url + path_of("GetModel"), headers=own) as reply:
                assert (reply.status == 204) == answered
            open_socket = session.ws_connect(url + path_of("Paint"), protocols=[SUBPROTOCOL], headers=own)
            if answered:
                await (await open_socket).close()
            else:
                with pytest.raises(WSServerHandshakeError) as caught:
                    await open_socket
                assert caught.value.status == 421
