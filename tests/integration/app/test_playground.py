"""The playground's files: what is served, with which headers, and nothing else."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from service.app.playground import SECURITY_HEADERS, About, playground_routes
from tests.support.web_stack import web_server

SCRIPT = b"console.log('a script that is long enough to be compressed');\n" * 20
IMAGE = b"\x89PNG and no more"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A bundle, and a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    bundle = tmp_path / "bundle"
    (bundle / "assets").mkdir(parents=True)
    (bundle / "index.html").write_text("<!doctype html><title>Paint</title>" + " " * 400)
    (bundle / "assets" / "main-1a2b.js").write_bytes(SCRIPT)
    (bundle / "samples").mkdir()
    (bundle / "samples" / "one.png").write_bytes(IMAGE)
    return bundle


@pytest.fixture
async def url(files: Path) -> AsyncIterator[str]:
    async with web_server(None, routes=playground_routes(About("localhost:5", keys=True), files)) as served:
        yield served


async def test_files_come_with_their_headers(url: str) -> None:
    expected = {
        "/": ("text/html; charset=utf-8", "no-cache"),
        "/index.html": ("text/html; charset=utf-8", "no-cache"),
        "/assets/main-1a2b.js": ("text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        "/samples/one.png": ("image/png", "no-cache"),
    }
    async with ClientSession() as session:
        for path, (kind, cache) in expected.items():
            async with session.get(url + path) as reply:
                assert reply.status == 200, path
                assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == (kind, cache)
                assert SECURITY_HEADERS.items() <= dict(reply.headers).items()
                etag = reply.headers["ETag"]
            async with session.get(url + path, headers={"If-None-Match": etag}) as reply:
                assert (reply.status, await reply.read(), reply.headers["ETag"]) == (304, b"", etag)
                assert reply.headers["Cache-Control"] == cache
            async with session.get(url + path, headers={"If-None-Match": '"other"'}) as reply:
                assert reply.status == 200


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    for sources in policy.values():
        assert set(sources.split()) <= {"'none'", "'self'", "blob:", "data:"}, "no inline, no eval, no host"
    assert {policy["script-src"], policy["style-src"], policy["connect-src"]} == {"'self'"}
    assert SECURITY_HEADERS["X-Content-Type-Options"] == "nosniff"


async def test_text_is_compressed_for_who_takes_it(url: str) -> None:
    async with ClientSession(auto_decompress=False) as session:
        for accepted, compressed in (
            ("gzip", True),
            ("br, gzip;q=0.5", True),
            ("gzip;q=0", False),
            ("br", False),
        ):
            headers = {"Accept-Encoding": accepted}
            async with session.get(url + "/assets/main-1a2b.js", headers=headers) as reply:
                body = await reply.read()
                assert (reply.headers.get("Content-Encoding") == "gzip") == compressed, accepted
                assert (gzip.decompress(body) if compressed else body) == SCRIPT
                assert reply.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/assets", "/assets/", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//"],
)
async def test_there_is_nothing_else(url: str, path: str) -> None:
    async with ClientSession() as session, session.get(URL(url + path, encoded=True)) as reply:
        assert reply.status == 404
        assert SECURITY_HEADERS.items() <= dict(reply.headers).items()
        assert "secret" not in await reply.text()


async def test_the_page_is_told_where_grpc_is(url: str) -> None:
    async with ClientSession() as session, session.get(url + "/playground.json") as reply:
        assert await reply.json() == {"grpc_address": "localhost:5", "grpc_tls": False, "keys": True}
        assert reply.headers["Cache-Control"] == "no-store"


async def test_heads_are_answered_and_nothing_can_be_put(url: str) -> None:
    async with ClientSession() as session:
        async with session.head(url + "/") as reply:
            assert (reply.status, await reply.read()) == (200, b"")
        for verb in ("POST", "PUT", "DELETE"):
            async with session.request(verb, url + "/index.html") as reply:
                assert reply.status == 405


def test_without_a_bundle_there_are_no_routes(tmp_path: Path) -> None:
    assert playground_routes(About(), tmp_path) == []
    assert playground_routes(About(), tmp_path / "nowhere") == []
