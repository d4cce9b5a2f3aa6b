"""The servers that are compared: how each is started and asked. One entry a peer, nothing else knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent / "servers"
REQUIREMENTS = Path(__file__).parent / "requirements"
GRAPHS = "graphs alone"
OURS = "maskweave"
OLD = "maskweave, old"
"""The gateway of an earlier checkout."""
SERVE = "serve"
"""The environment of the gateway."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server around the graphs of one ensemble.

    Attributes:
        name: As reports have it.
        environment: Of `.venv/`; one of its own where `requirements/` has a lock of that name.
        command: Started in `servers/`; `{python}`, `{bin}`, `{port}`, `{port2}`, `{port3}`, `{workers}` and
            `{repository}` are filled in.
        kind: How it is asked, see `load.KINDS`.
        environ: Further environment variables, filled in as the command is.
        note: What a reader must know.
    """

    name: str
    environment: str
    command: Sequence[str]
    kind: str
    environ: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


# One thread a worker: without this, libraries that nobody asked take all cores once more.
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}

_OURS = {
    "MASKWEAVE_GRPC_PORT": "{port}",
    "MASKWEAVE_HTTP_PORT": "{port2}",
    "MASKWEAVE_MODEL_REPOSITORY": "{repository}",
    "MASKWEAVE_LOG_LEVEL": "warning",
}

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(OURS, SERVE, ("{python}", "-m", "maskweave_cli", "serve"), "maskweave", _OURS),
        Peer("plain grpc.aio", SERVE, ("{python}", "plain_grpc.py"), "maskweave", _ONE_THREAD),
        Peer("FastAPI", "peer-fastapi", ("{python}", "fastapi_server.py"), "http-raw", _ONE_THREAD),
        Peer(
            "mosec",
            "peer-mosec",
            ("{python}", "mosec_server.py", "--address", "127.0.0.1", "--port", "{port}"),
            "http-msgpack",
            _ONE_THREAD,
        ),
        Peer("LitServe", "peer-litserve", ("{python}", "litserve_server.py"), "http-json", _ONE_THREAD),
        Peer(
            "BentoML",
            "peer-bentoml",
            ("{bin}/bentoml", "serve", "bentoml_server:Draw", "--host", "127.0.0.1", "--port", "{port}"),
            "http-form",
            _ONE_THREAD | {"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            "Ray Serve",
            "peer-ray",
            ("{python}", "ray_server.py"),
            "http-raw",
            _ONE_THREAD | {"RAY_USAGE_STATS_ENABLED": "0"},
        ),
        Peer(
            "PyTorch eager",
            "dev",
            ("{python}", "torch_grpc.py"),
            "maskweave",
            _ONE_THREAD,
            note="the networks as trained, behind grpc.aio",
        ),
        Peer(
            "Triton, stand-in",
            "triton",
            (
                "{python}",
                str(ROOT / "tests" / "triton" / "server.py"),
                *("--model-repository", "{repository}", "--grpc-port", "{port}"),
                *("--http-port", "{port2}", "--metrics-port", "{port3}"),
            ),
            "triton",
            note="of the pip wheel, a Python backend in the place of its own; tensors in and out, no codecs",
        ),
    )
}
"""Every peer, by name."""

FLOOR_PARTS: Mapping[str, str] = {
    "grpc.aio, a constant image": "",
    "grpc.aio, codecs alone": "codec",
    "grpc.aio, graphs alone": "graphs",
    "grpc.aio, graphs and codecs": "graphs codec",
}
"""What servers that leave out work do of it, by name."""

FLOORS: Mapping[str, Peer] = {
    name: Peer(name, SERVE, ("{python}", "parts_grpc.py"), "maskweave", {**_ONE_THREAD, "PEER_PARTS": parts})
    for name, parts in FLOOR_PARTS.items()
}
"""What no server in Python goes below, by name."""
