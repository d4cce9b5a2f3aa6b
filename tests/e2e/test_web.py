"""The HTTP port of a real gateway: with curl, with Connect's client for browsers, and with a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
from google.protobuf import duration_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Client
from tests.support.gateway_process import PATIENCE_SECONDS, GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys
from tests.support.slow_pack import SLOW_ONE_SECOND
from tests.support.web_stack import bearer, path_of, web_painter

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".venv" / "node" / "node_modules"
SMALL = np.array([[0, 1], [2, 0]], np.uint8)
KEY, ENTRY = new_key("page")


def curl(*arguments: str) -> str:
    """What curl prints."""
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            str(PATIENCE_SECONDS),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def raw(ids: NDArray[np.uint8]) -> pb.RawLabelMap:
    return pb.RawLabelMap(data=ids.tobytes(), width=ids.shape[1], height=ids.shape[0])


def contract() -> FileDescriptorSet:
    """The contract and what it needs, with the names in JSON, which Python leaves out."""
    descriptors = FileDescriptorSet()
    for module in (duration_pb2, pb, error_details_pb2):
        file = descriptors.file.add()
        module.DESCRIPTOR.CopyToProto(file)
        messages = list(file.message_type)
        while messages:
            message = messages.pop()
            messages += message.nested_type
            for field in message.field:
                first, *others = field.name.split("_")
                field.json_name = first + "".join(map(str.capitalize, others))
    return descriptors


def test_curl_with_json_gets_what_the_client_gets(gateway: GatewayProcess, client: Client) -> None:
    body = {
        "model": "faces64",
        "seed": 7,
        "labelMap": {"raw": {"width": 2, "height": 2, "data": "AAECAA=="}},
        "imageFormat": "IMAGE_FORMAT_RAW",
    }
    url = gateway.http + path_of("Synthesize")
    told = curl("--json", json.dumps(body), url)
    expected = client.synthesize("faces64", SMALL, seed=7, image_format="raw").images[0].data
    assert base64.b64decode(json.loads(told)["images"][0]["data"]) == expected

    told = curl(
        "--json", '{"model": "faces64", "labelMap": {"png": ""}}', "--write-out", "\n%{http_code}", url
    )
    error, _, status = told.rpartition("\n")
    assert (json.loads(error)["code"], status) == ("invalid_argument", "400")
    assert gateway.metric("grpc_server_handled_total", grpc_method="Synthesize", grpc_code="InvalidArgument")


def test_connect_s_client_for_browsers(gateway: GatewayProcess, client: Client, tmp_path: Path) -> None:
    assert MODULES.is_dir(), "make test installs it"
    path = tmp_path / "contract.binpb"
    path.write_bytes(contract().SerializeToString())
    done = subprocess.run(
        ["node", "tests/node/web_calls.js", gateway.http, str(path)],
        cwd=ROOT,
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert not done.stderr
    images = client.synthesize("faces64", SMALL, seed=7, number_of_images=3, image_format="raw").images
    digests = [hashlib.sha256(image.data).hexdigest() for image in images]
    edited = client.edit("faces64", 7, SMALL, image_format="raw").images[0].data
    expected = {
        "models": [model.name for model in client.models()],
        "synthesize": digests,
        "stream": digests,
        "edit": hashlib.sha256(edited).hexdigest(),
        "failure": ["InvalidArgument", "style_strength: got 7; allowed: 0 to 1", ["INVALID_FIELD"]],
        "requestId": True,
        "late": "DeadlineExceeded",
    }
    told = {each.pop("name"): each for each in map(json.loads, done.stdout.splitlines())}
    assert told == dict.fromkeys(("connect", "json", "grpcWeb"), expected)


def test_the_page_s_example_for_curl_runs(shipped: GatewayProcess) -> None:
    page = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```sh\n(curl .*?)```", page, re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", example.replace("http://localhost:8080", shipped.http)],
        env={**os.environ, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    (image,) = json.loads(done.stdout)["images"]
    assert base64.b64decode(image["data"]).startswith(b"\x89PNG")


async def test_painting_over_a_web_socket_is_painting(
    gateway: GatewayProcess, client: Client, label_map: NDArray[np.uint8]
) -> None:
    start = pb.PaintStart(
        model="faces64", label_map=pb.LabelMap(raw=raw(label_map)), seed=7, image_format=pb.IMAGE_FORMAT_RAW
    )
    async with web_painter(gateway.http) as painter:
        await painter.send(pb.PaintRequest(start=start))
        first = await painter.frame()
        points = [pb.Point(x=0, y=4), pb.Point(x=64, y=4)]
        strokes = pb.StrokeList(strokes=[pb.Stroke(class_id=5, width=8, points=points)])
        await painter.send(pb.PaintRequest(update=pb.PaintUpdate(sequence=3, strokes=strokes)))
        second = await painter.frame()
        await painter.finish()
        assert "error" not in await painter.end()
    painted = label_map.copy()
    painted[0:8] = 5
    for frame, canvas in ((first, label_map), (second, painted)):
        made = client.synthesize("faces64", canvas, seed=7, image_format="raw").images[0].data
        assert frame.image.data == made
    assert second.timings.stages[0].cached


async def test_a_gateway_that_stops_ends_sessions_and_finishes_calls(repository: Path) -> None:
    with gateway_process(repository) as gateway:
        slow = json.dumps(
            {
                "model": "slow",
                "latents": {"latents": [{"values": [SLOW_ONE_SECOND / 2]}]},
                "labelMap": {"raw": {"width": 2, "height": 2, "data": "AAECAA=="}},
            }
        )
        async with web_painter(gateway.http) as painter:
            start = pb.PaintStart(model="faces64", label_map=pb.LabelMap(raw=raw(SMALL)), seed=7)
            await painter.send(pb.PaintRequest(start=start))
            await painter.frame()
            calling = asyncio.create_task(
                asyncio.to_thread(curl, "--json", slow, gateway.http + path_of("Synthesize"))
            )
            await asyncio.to_thread(gateway.wait_until_in_flight, 1)
            gateway.terminate()
            assert (await painter.end())["error"]["code"] == "unavailable"
            assert json.loads(await calling)["images"]
        assert await asyncio.to_thread(gateway.wait) == 0


async def test_keys_are_asked_for_and_origins_and_hosts_are_looked_at(
    repository: Path, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys.toml", ENTRY)
    settings = {
        "api_keys_file": keys,
        "allowed_origins": "https://paint.example.com",
        "allowed_hosts": "paint.example.com",
    }
    with gateway_process(repository, **settings) as gateway:
        for host, answer in (
            ("paint.example.com", "ok\n"),
            ("localhost:1", "ok\n"),
            ("evil.test", "Host: got"),
        ):
            assert curl("-H", f"Host: {host}", gateway.http + "/livez").startswith(answer)
        url = gateway.http + path_of("ListModels")
        assert json.loads(curl("--json", "{}", url))["code"] == "unauthenticated"
        told = curl("--json", "{}", "-H", f"authorization: Bearer {KEY}", url)
        assert json.loads(told)["models"]
        for origin, word in (
            ("https://paint.example.com", "models"),
            ("https://other.test", "permission_denied"),
        ):
            headers = ("-H", f"authorization: Bearer {KEY}", "-H", f"Origin: {origin}")
            assert word in curl("--json", "{}", *headers, url)
        async with web_painter(gateway.http) as painter:
            assert (await painter.end())["error"]["code"] == "unauthenticated"
        async with web_painter(gateway.http, bearer(KEY), origin="https://paint.example.com") as painter:
            start = pb.PaintStart(model="faces64", label_map=pb.LabelMap(raw=raw(SMALL)), seed=7)
            await painter.send(pb.PaintRequest(start=start))
            assert (await painter.frame()).image.data
            await painter.finish()
            await painter.end()
        assert KEY not in gateway.output
        assert 'key="page"' in gateway.output


def test_calls_on_the_http_port_can_be_switched_off(repository: Path) -> None:
    with gateway_process(repository, http_calls="off") as gateway:
        for path in (path_of("ListModels"), "/"):
            assert curl("--json", "{}", "--write-out", "%{http_code}", gateway.http + path).endswith("404")
