"""The page on proxies: nginx, configured as it shows, before a gateway with the settings that it names."""

from __future__ import annotations

import asyncio
import shlex
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from aiohttp import AddrInfoType, ClientSession, TCPConnector

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.certificates import Authority
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.nginx import nginx
from tests.support.pages import blocks

PAGE = "docs/howto/proxy.md"
PAINT, GRPC = "paint.example.com", "rpc.example.com"
LABEL_MAP = pb.LabelMap(
    raw=pb.RawLabelMap(width=64, height=64, data=np.full((64, 64), 2, np.uint8).tobytes())
)
SERVICE = "/maskweave.v1.SynthesisService"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def behind(repository: Path) -> Iterator[GatewayProcess]:
    (block,) = (block for block in blocks(PAGE) if block.language == "sh")
    program, verb, *flags = shlex.split(block.text)
    assert (program, verb) == ("maskweave", "serve")
    settings = {name.removeprefix("--").replace("-", "_"): value for name, value in _pairs(flags)}
    with gateway_process(repository, **settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def port(
    behind: GatewayProcess, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    (block,) = (block for block in blocks(PAGE) if block.language == "nginx")
    with nginx(block.text, behind, authority, tmp_path_factory.mktemp("nginx")) as port:
        yield port


def _pairs(flags: list[str]) -> Iterator[tuple[str, str]]:
    return zip(flags[::2], flags[1::2], strict=True)


def test_grpc_with_sessions(port: int, behind: GatewayProcess, authority: Authority) -> None:
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    options = [("grpc.ssl_target_name_override", GRPC), ("grpc.enable_http_proxy", 0)]
    (model,) = behind_models(behind)[:1]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        reply = stub.Synthesize(pb.SynthesizeRequest(model=model, label_map=LABEL_MAP, seed=7), timeout=60)
        assert reply.images[0].seed == 7
        start = pb.PaintRequest(start=pb.PaintStart(model=model, label_map=LABEL_MAP, seed=7))
        frames = [*stub.Paint(iter([start]), timeout=60)]
        assert frames[-1].image.width == reply.images[0].width
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetModel(pb.GetModelRequest(name="nobody"), timeout=60)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert any(each.key == "grpc-status-details-bin" for each in refused.value.trailing_metadata())


def test_pages_curl_and_sockets(port: int, behind: GatewayProcess, authority: Authority) -> None:
    model = behind_models(behind)[0]
    sockets: list[socket.socket] = []

    def opened(address: AddrInfoType) -> socket.socket:
        sockets.append(socket.socket(*address[:3]))
        return sockets[-1]

    async def call() -> None:
        trusted = ssl.create_default_context(cafile=str(authority.certificate))
        connector = TCPConnector(ssl=trusted, socket_factory=opened)
        url = f"https://127.0.0.1:{port}"
        headers = {"host": PAINT, "origin": f"https://{PAINT}"}
        async with ClientSession(connector=connector, headers=headers) as session:
            async with session.get(f"{url}/", server_hostname=PAINT) as reply:
                assert (reply.status, reply.content_type) == (200, "text/html")
            for inside in ("metrics", "healthz", "livez"):
                async with session.get(f"{url}/{inside}", server_hostname=PAINT) as reply:
                    assert reply.status == 404
            asked = {"name": model}
            async with session.post(f"{url}{SERVICE}/GetModel", json=asked, server_hostname=PAINT) as reply:
                assert (await reply.json())["model"]["name"] == model
            async with session.ws_connect(
                f"{url}{SERVICE}/Paint", protocols=("maskweave.v1",), server_hostname=PAINT
            ) as paint:
                start = pb.PaintStart(model=model, label_map=LABEL_MAP, seed=7)
                await paint.send_bytes(pb.PaintRequest(start=start).SerializeToString())
                await paint.send_str("end")
                frame = pb.PaintResponse.FromString(await paint.receive_bytes())
                assert frame.image.width
        # TLS ends a connection after its session has closed, and an event loop that ends leaves it open.
        while any(each.fileno() >= 0 for each in sockets):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(call(), 120))


def behind_models(gateway: GatewayProcess) -> list[str]:
    """The names of the gateway's models that take label maps."""
    with grpc.insecure_channel(gateway.address, [("grpc.enable_http_proxy", 0)]) as channel:
        models = pb_grpc.SynthesisServiceStub(channel).ListModels(pb.ListModelsRequest(), timeout=60).models
    return [
        model.name
        for model in models
        if any(each.kind == pb.CONDITION_KIND_LABEL_MAP for each in model.conditions)
    ]
