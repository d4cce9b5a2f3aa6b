"""Calls over HTTP/1.1 in this process: Connect, gRPC-Web and WebSocket, on the same calls as gRPC's."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from service.access.keys import Keys
from service.core.limits import CallLimits
from service.core.metrics import Metrics
from service.engine.base import Array
from service.rpc.access import Access
from service.rpc.interceptors import Authentication
from service.rpc.web.origins import Origins
from service.rpc.web.protocols import ENVELOPE, enveloped
from service.rpc.web.socket_channel import SUBPROTOCOL
from tests.support.fake_engine import FakeEngine
from tests.support.key_file import new_key
from tests.support.service_stack import service_on
from tests.support.web_stack import (
    MAX_BYTES,
    bearer,
    details_of,
    envelopes,
    path_of,
    web_painter,
    web_server,
)

LABEL_MAP = pb.LabelMap(raw=pb.RawLabelMap(data=b"\0\4\4\0", width=2, height=2))
REQUEST = pb.SynthesizeRequest(model="tiny", label_map=LABEL_MAP, seed=7)
JSON = {"Content-Type": "application/json"}
PROTO = {"Content-Type": "application/proto"}
GRPC_WEB = {"Content-Type": "application/grpc-web+proto"}
GRPC_WEB_TEXT = {"Content-Type": "application/grpc-web-text"}


async def post(
    session: ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes, Mapping[str, str]]:
    async with session.post(url, data=body, headers=headers) as reply:
        return reply.status, await reply.read(), reply.headers


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server on an engine that answers at once."""
    async with web_server(service_on(FakeEngine())) as served:
        yield served


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


async def test_json_names_everything_as_the_contract_does(url: str, session: ClientSession) -> None:
    body = json.dumps(
        {
            "model": "tiny",
            "seeds": {"values": [7, 8]},
            "labelMap": {"raw": {"width": 2, "height": 2, "data": "AAQEAA=="}},
            "image_format": "IMAGE_FORMAT_RAW",
        }
    )
    headers = {**JSON, "x-request-id": "mine"}
    status, reply, got = await post(session, url + path_of("Synthesize"), body.encode(), headers)
    assert status == 200, reply
    read = json.loads(reply)
    assert [image["seed"] for image in read["images"]] == [7, 8]
    assert len(base64.b64decode(read["images"][0]["data"])) == 2 * 2 * 3
    assert got["x-request-id"] == got["trailer-x-request-id"] == "mine"
    assert "tiny_label_map_stage" in got["trailer-server-timing"]


async def test_a_failure_has_what_gRPC_gives(url: str, session: ClientSession) -> None:  # noqa: N802
    body = pb.SynthesizeRequest(model="tiny", label_map=LABEL_MAP, style_strength=7).SerializeToString()
    status, reply, _ = await post(session, url + path_of("Synthesize"), body, PROTO)
    error = json.loads(reply)
    assert (status, error["code"]) == (400, "invalid_argument")
    assert error["message"] == "style_strength: got 7; allowed: 0 to 0.9"
    details = details_of(error)
    assert details["ErrorInfo"]["reason"] == "INVALID_FIELD"
    assert details["BadRequest"]["fieldViolations"][0]["field"] == "style_strength"

    status, reply, _ = await post(session, url + path_of("Synthesize"), enveloped(0, body), GRPC_WEB)
    ((flags, trailers),) = envelopes(reply)
    assert (status, flags) == (200, 0x80)
    lines = dict(line.split(": ", 1) for line in trailers.decode().splitlines())
    assert lines["grpc-status"] == "3"
    assert lines["grpc-message"] == error["message"]
    assert lines["grpc-status-details-bin"]


async def test_streams_send_each_image_and_then_the_end(url: str, session: ClientSession) -> None:
    request = pb.SynthesizeRequest(model="tiny", label_map=LABEL_MAP, number_of_images=3).SerializeToString()
    for kind, last in (("application/connect+proto", 0x02), ("application/grpc-web", 0x80)):
        headers = {"Content-Type": kind}
        status, reply, got = await post(
            session, url + path_of("SynthesizeStream"), enveloped(0, request), headers
        )
        parts = envelopes(reply)
        assert (status, [flags for flags, _ in parts]) == (200, [0, 0, 0, last])
        images = [pb.SynthesizeStreamResponse.FromString(data) for _, data in parts[:3]]
        assert sorted(image.index for image in images) == [0, 1, 2]
        assert got["Content-Type"].startswith(kind)


async def test_text_of_grpc_web_is_base64(url: str, session: ClientSession) -> None:
    body = base64.b64encode(enveloped(0, REQUEST.SerializeToString()))
    headers = {"Content-Type": "application/grpc-web-text"}
    _, reply, _ = await post(session, url + path_of("Synthesize"), body, headers)
    # Each part is encoded by itself, and the first is found by its own length.
    padded = reply.index(b"=") if b"=" in reply else len(reply)
    assert envelopes(base64.b64decode(reply[: padded + (-padded % 4)]))[0][0] == 0


BAD_REQUESTS = [
    ("GetModel", JSON, b"{", "JSON"),
    ("GetModel", JSON, b"[" * 100_000, "JSON"),
    ("GetModel", JSON, b'{"name": ' + b"[" * 3000, "JSON"),
    ("GetModel", JSON, b"\xff", "JSON"),
    ("Synthesize", JSON, b'{"seed": ' + b"9" * 60_000 + b"}", "JSON"),
    ("Synthesize", JSON, b'{"seed": "' + b"9" * 60_000 + b'"}', "JSON"),
    ("Synthesize", JSON, b'{"seed": 1e999}', "JSON"),
    ("Synthesize", JSON, b'{"styleStrength": 0.' + b"9" * 60_000 + b"e9999}", "JSON"),
    ("GetModel", JSON, b'{"nmae": "tiny"}', "nmae"),
    ("GetModel", JSON, b'{"name": 7}', "name"),
    ("Synthesize", JSON, b'{"seeds": {"values": [' + b"1," * 150_000 + b"1]}}", "values"),
    ("GetModel", PROTO, b"\xff", "not one"),
    ("GetModel", {**PROTO, "Content-Encoding": "gzip"}, b"", "content-encoding"),
    ("GetModel", {**PROTO, "Connect-Timeout-Ms": "soon"}, b"", "connect-timeout-ms"),
    ("GetModel", PROTO, b"", "name"),
    ("GetModel", GRPC_WEB, b"", "no message"),
    ("GetModel", GRPC_WEB, b"\0\0", "envelope"),
    ("GetModel", GRPC_WEB, ENVELOPE.pack(0, 2**32 - 1), "announced"),
    ("GetModel", GRPC_WEB, ENVELOPE.pack(1, 0), "compressed"),
    ("GetModel", GRPC_WEB, enveloped(0, b"") * 2, "one message"),
    ("GetModel", {**GRPC_WEB, "Grpc-Timeout": "5"}, enveloped(0, b""), "grpc-timeout"),
    ("GetModel", {**GRPC_WEB, "Grpc-Encoding": "gzip"}, enveloped(0, b""), "grpc-encoding"),
    ("GetModel", GRPC_WEB_TEXT, b"?", "base64"),
    ("GetModel", GRPC_WEB_TEXT, b"QQ==" * 2**16, "base64"),
]


@pytest.mark.parametrize(("method", "headers", "body", "told"), BAD_REQUESTS)
async def test_what_is_malformed_is_an_invalid_argument(
    url: str, session: ClientSession, method: str, headers: Mapping[str, str], body: bytes, told: str
) -> None:
    status, reply, _ = await post(session, url + path_of(method), body, headers)
    if "grpc-web" in headers["Content-Type"]:
        if headers["Content-Type"].endswith("text"):
            reply = base64.b64decode(reply)
        trailers = envelopes(reply)[-1][1].decode()
        assert "grpc-status: 3\r\n" in trailers
        assert told in trailers
    else:
        error = json.loads(reply)
        assert (status, error["code"]) == (400, "invalid_argument"), error
        assert told in error["message"]
        assert len(error["message"]) < 400


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTO, bytes(MAX_BYTES + 1)),
        (JSON, b'{"name": "' + b"x" * MAX_BYTES * 2 + b'"}'),
        (GRPC_WEB, bytes(MAX_BYTES + 6)),
        (GRPC_WEB_TEXT, b"QUJD" * MAX_BYTES),
    ],
)
async def test_a_message_that_is_too_large_is_what_it_is_over_grpc(
    url: str, session: ClientSession, headers: Mapping[str, str], body: bytes
) -> None:
    status, reply, _ = await post(session, url + path_of("GetModel"), body, headers)
    if headers in (PROTO, JSON):
        error = json.loads(reply)
        assert (status, error["code"]) == (429, "resource_exhausted"), error
        details = details_of(error)
        assert details["ErrorInfo"]["reason"] == "MESSAGE_TOO_LARGE"
        assert "RetryInfo" not in details
    else:
        reply = base64.b64decode(reply) if headers is GRPC_WEB_TEXT else reply
        assert b"grpc-status: 8\r\n" in reply


async def test_large_bodies_in_base64_are_read_whole(url: str, session: ClientSession) -> None:
    data = bytes(range(256)) * 800  # of several parts
    label_map = pb.LabelMap(raw=pb.RawLabelMap(data=data, width=512, height=400))
    request = pb.SynthesizeRequest(model="tiny", label_map=label_map).SerializeToString()
    bodies = {"proto": request, "text": base64.b64encode(enveloped(0, request))}
    told = [
        await post(session, url + path_of("Synthesize"), bodies[kind], headers)
        for kind, headers in (("proto", PROTO), ("text", GRPC_WEB_TEXT))
    ]
    message = json.loads(told[0][1])["message"]
    assert "label_map" in message
    assert message.encode() in base64.b64decode(told[1][1])


async def test_what_is_no_call_is_refused_by_http(url: str, session: ClientSession) -> None:
    async def status(verb: str, path: str, **headers: str) -> tuple[int, str]:
        async with session.request(verb, url + path, headers=headers) as reply:
            return reply.status, json.loads(await reply.read())["code"]

    kind = {"Content-Type": "application/json"}
    assert await status("POST", path_of("Nothing"), **kind) == (404, "unimplemented")
    assert await status("GET", path_of("GetModel")) == (405, "unimplemented")
    assert await status("POST", path_of("GetModel")) == (415, "unknown")
    assert await status("POST", path_of("GetModel"), **{"Content-Type": "text/plain"}) == (415, "unknown")
    assert await status("POST", path_of("Morph"), **kind) == (415, "unknown")
    assert await status("POST", path_of("Paint"), **kind) == (505, "unimplemented")
    assert await status("GET", path_of("Paint")) == (426, "unimplemented")
    with pytest.raises(WSServerHandshakeError) as caught:
        await session.ws_connect(url + path_of("Paint"))
    assert caught.value.status == 400


async def test_a_gateway_that_starts_says_so(session: ClientSession) -> None:
    async with web_server(None) as server:
        status, reply, _ = await post(session, server + path_of("GetModel"), b"{}", JSON)
    assert (status, json.loads(reply)["code"]) == (503, "unavailable")


class Held:
    """An engine's behaviour that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, _: Mapping[str, Array]) -> None:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_the_caller_s_deadline_holds(session: ClientSession) -> None:
    async with web_server(service_on(FakeEngine(Held()))) as server:
        url = server + path_of("Synthesize")
        body = REQUEST.SerializeToString()
        status, reply, _ = await post(session, url, body, {**PROTO, "Connect-Timeout-Ms": "50"})
        assert (status, json.loads(reply)["code"]) == (504, "deadline_exceeded")
        _, reply, _ = await post(session, url, enveloped(0, body), {**GRPC_WEB, "Grpc-Timeout": "50m"})
        assert b"grpc-status: 4\r\n" in reply


async def test_who_hangs_up_cancels_the_call() -> None:
    held, metrics = Held(), Metrics()
    async with web_server(service_on(FakeEngine(held), metrics)) as server:
        async with ClientSession() as session:
            url = server + path_of("Synthesize")
            call = asyncio.create_task(post(session, url, REQUEST.SerializeToString(), PROTO))
            await asyncio.wait_for(held.begun.wait(), 60)
            call.cancel()
        await asyncio.wait_for(held.cancelled.wait(), 60)
    assert 'maskweave_cancelled_total{cause="caller"} 1.0' in metrics.page("")[0].decode()


async def test_one_connection_does_not_remember_the_key_of_the_call_before() -> None:
    key, entry = new_key()
    access = Access(Keys([entry]))
    stack = service_on(FakeEngine())
    guard = Authentication(access, (), stack.calls.refusal)
    async with web_server(stack, interceptors=[guard]) as server, ClientSession() as session:
        url = server + path_of("GetModel")
        body = b'{"name": "tiny"}'
        for headers, expected in (
            ({"Authorization": f"Bearer {key}"}, 200),
            ({}, 401),
            ({"X-Api-Key": key}, 200),
            ({"X-Api-Key": "wrong"}, 401),
        ):
            status, reply, _ = await post(session, url, body, {**JSON, **headers})
            assert status == expected, reply


async def test_a_page_of_another_origin_is_refused(url: str, session: ClientSession) -> None:
    host = url.removeprefix("http://")
    body = b'{"name": "tiny"}'
    for origin, expected in (
        (f"http://{host}", 200),
        (f"https://{host}", 200),  # where a proxy has taken off TLS
        ("http://other.test", 403),
        (f"http://{host}.other.test", 403),
        (f"http://other.test@{host}", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
        (f"file://{host}", 403),
    ):
        status, reply, got = await post(session, url + path_of("GetModel"), body, {**JSON, "Origin": origin})
        assert status == expected, (origin, reply)
        assert ("Access-Control-Allow-Origin" in got) == (expected == 200)
        if expected == 200:
            async with web_painter(url, origin=origin) as painter:
                await painter.finish()
                await painter.end()
        else:
            with pytest.raises(WSServerHandshakeError):
                await session.ws_connect(url + path_of("Paint"), protocols=[SUBPROTOCOL], origin=origin)


async def test_a_listed_origin_may_call(session: ClientSession) -> None:
    origins = Origins.parse(["https://paint.example.com"])
    async with web_server(service_on(FakeEngine()), origins=origins) as server:
        url = server + path_of("GetModel")
        asked = {"Origin": "https://paint.example.com", "Access-Control-Request-Method": "POST"}
        async with session.options(url, headers=asked) as reply:
            assert reply.status == 204
            assert reply.headers["Access-Control-Allow-Origin"] == "https://paint.example.com"
            assert "authorization" in reply.headers["Access-Control-Allow-Headers"]
        async with session.options(url, headers={**asked, "Origin": "https://other.test"}) as reply:
            assert reply.status == 403
        headers = {**JSON, "Origin": "https://paint.example.com"}
        status, _, got = await post(session, url, b'{"name": "tiny"}', headers)
        assert status == 200
        assert "trailer-server-timing" in got["Access-Control-Expose-Headers"]
        assert got["Vary"] == "Origin"


@pytest.mark.parametrize("item", ["paint.example.com", "https://x/", "https://X", "ftp://x", "https://*.x"])
def test_what_is_no_origin_is_refused(item: str) -> None:
    with pytest.raises(ValueError, match="allowed: origins as browsers write them"):
        Origins.parse([item])


def start(**fields: Any) -> pb.PaintRequest:
    values = {"model": "tiny", "label_map": LABEL_MAP, "seed": 7, **fields}
    return pb.PaintRequest(start=pb.PaintStart(**values))


def update(sequence: int, **fields: Any) -> pb.PaintRequest:
    return pb.PaintRequest(update=pb.PaintUpdate(sequence=sequence, **fields))


async def test_a_session_over_a_web_socket(url: str) -> None:
    async with web_painter(url) as painter:
        await painter.send(start())
        first = await painter.frame()
        assert (first.sequence, first.image.seed) == (0, 7)
        await painter.send(update(3, seed=8))
        assert (await painter.frame()).sequence == 3
        await painter.send(update(4))
        await painter.finish()
        assert (await painter.frame()).sequence == 4
        ending = await painter.end()
        assert set(ending) == {"metadata"}
        assert ending["metadata"]["x-request-id"]


async def test_the_latest_canvas_wins_over_a_web_socket() -> None:
    held = Held()
    async with web_server(service_on(FakeEngine(held))) as server, web_painter(server) as painter:
        await painter.send(start())
        await asyncio.wait_for(held.begun.wait(), 60)
        await painter.send(*(update(number, seed=number) for number in range(1, 6)))
        await painter.finish()
        await asyncio.sleep(0.2)  # what has not come by then gets a frame of its own
        held.go.set()
        frames = [await painter.frame()]
        while frames[-1].sequence < 5:
            frames.append(await painter.frame())
        assert len(frames) - 1 + sum(frame.dropped_frames for frame in frames) == 5
        assert (await painter.end()).get("error") is None


async def test_a_bad_message_ends_the_session_and_names_the_field(url: str) -> None:
    for messages, field in (
        ((update(1),), "request"),
        ((start(model=""),), "start.model"),
        ((start(), update(1, style_strength=7)), "update.style_strength"),
    ):
        async with web_painter(url) as painter:
            await painter.send(*messages)
            error = (await painter.end())["error"]
            assert error["code"] == "invalid_argument"
            assert details_of(error)["BadRequest"]["fieldViolations"][0]["field"] == field
    async with web_painter(url) as painter:
        await painter.socket.send_str("hello")
        assert "'end' as the last" in (await painter.end())["error"]["message"]


async def test_a_message_that_is_too_large_ends_the_socket(url: str) -> None:
    async with web_painter(url) as painter:
        await painter.socket.send_bytes(bytes(MAX_BYTES + 1))
        message = await painter.socket.receive(timeout=60)
        assert message.type is WSMsgType.CLOSE
        assert message.data == 1009  # too big


async def test_closing_the_socket_cancels_the_frame() -> None:
    held, metrics = Held(), Metrics()
    stack = service_on(FakeEngine(held), metrics)
    async with web_server(stack) as server:
        async with web_painter(server) as painter:
            await painter.send(start())
            await asyncio.wait_for(held.begun.wait(), 60)
        await asyncio.wait_for(held.cancelled.wait(), 60)
        while stack.calls.open_sessions:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    assert 'maskweave_cancelled_total{cause="caller"} 1.0' in metrics.page("")[0].decode()


async def test_sessions_have_the_same_bounds(session: ClientSession) -> None:
    limits = CallLimits(sessions=2, sessions_per_caller=1)
    async with web_server(service_on(FakeEngine(), call_limits=limits)) as server:
        url = server
        async with web_painter(url) as one:
            await one.send(start())
            await one.frame()
            async with web_painter(url) as two:
                error = (await two.end())["error"]
                assert error["code"] == "resource_exhausted"
                assert details_of(error)["RetryInfo"]["retryDelay"]


async def test_a_session_s_key_comes_as_a_subprotocol_and_is_checked_at_each_frame() -> None:
    key, entry = new_key()
    wrong, _ = new_key("wrong")
    other_key, other = new_key("other", "edit")
    access = Access(Keys([entry, other]))
    stack = service_on(FakeEngine(), access=access)
    guard = Authentication(access, (), stack.calls.refusal)
    async with web_server(stack, interceptors=[guard]) as server:
        url = server
        for given, code in (
            ((), "unauthenticated"),
            ((bearer(wrong),), "unauthenticated"),
            (("bearer.!",), "unauthenticated"),
            ((bearer(other_key),), "permission_denied"),
        ):
            async with web_painter(url, *given) as painter:
                assert (await painter.end())["error"]["code"] == code
                assert painter.socket.protocol == SUBPROTOCOL
        async with web_painter(url, bearer(key)) as painter:
            await painter.send(start())
            await painter.frame()
            access.accept(Keys([other]))
            await painter.send(update(1))
            error = (await painter.end())["error"]
            assert (error["code"], "revoked" in error["message"]) == ("unauthenticated", True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(
        ["application/proto", "application/json", "application/grpc-web", "application/grpc-web-text"]
    ),
    method=st.sampled_from(["Synthesize", "Edit", "ListModels", "EncodeStyles", "ReadLabelMap"]),
    body=st.binary(max_size=60)
    | st.text(max_size=40).map(str.encode)
    | st.binary(max_size=40).map(lambda data: enveloped(0, data))
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["model", "labelMap", "seed", "raw", "styles"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    timeout=st.none() | st.sampled_from(["1", "99999999999", "-1", "1S", "0"]),
)
def test_whatever_comes_is_answered_and_is_no_bug(
    kind: str, method: str, body: bytes, timeout: str | None
) -> None:
    async def run() -> tuple[int, bytes, str]:
        metrics = Metrics()
        headers = {"Content-Type": kind}
        if timeout is not None:
            headers |= {"Connect-Timeout-Ms": timeout, "Grpc-Timeout": timeout}
        async with web_server(service_on(FakeEngine(), metrics)) as server, ClientSession() as session:
            status, reply, _ = await post(session, server + path_of(method), body, headers)
        return status, reply, metrics.page("")[0].decode()

    status, reply, page = asyncio.run(run())
    assert 'reason="INTERNAL"' not in page
    assert status in ((200,) if "grpc-web" in kind else (200, 400, 404, 504)), reply
