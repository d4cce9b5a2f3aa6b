"""The head of `docs/performance.md`: the figures that most readers come for, and where to find the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.peers.table import OURS
from benchmarks.scenario_files import NEW_SEED, REPEATED_SEED
from benchmarks.tables import ms, plain, table

STAGES = "Where the time goes"
KINDS = "Every kind of request"
KNEE = "The knee"
GROWTH = "More clients, more images, larger label maps"
MODELS = "Models of other sizes"
OVERLOAD = "Overload"
START = "Start and memory"
SIZE = "The size of a replica"
HEAVY = "A heavy model, on every runtime"
PEERS = "Beside other servers"
FLOOR = "What a server in Python takes"
WRONG = "How often the benchmark's verdicts are wrong"
LAYOUTS = "Ensemble or one fused graph"

_PLAIN_SERVER = "plain grpc.aio"

_SECTIONS = {
    STAGES: "one client, stage by stage, beside the models alone",
    KINDS: "sketches, scribbles, exemplars, edits, strokes",
    KNEE: "the highest rate of independent requests with p99 within 100 ms",
    GROWTH: "1 to 64 clients, 1 to 16 images in a request, label maps of 64 to 512 px",
    MODELS: "64 to 256 px, 8 to 150 classes",
    OVERLOAD: "up to three times as many requests as can be answered",
    START: "from the start of the process to the first image",
    SIZE: "CPU and memory of one gateway, by callers, message sizes and sessions",
    HEAVY: "a StyleGAN2 of 256 px on ONNX Runtime and OpenVINO",
    PEERS: "the same graphs behind plain gRPC, FastAPI, mosec, LitServe, BentoML, Ray Serve and Triton",
    FLOOR: "how much of the rest is Python's and gRPC's, and the aims that were missed",
    WRONG: "false alarms and missed regressions of `maskweave-bench`, by simulation",
    LAYOUTS: "the two ways of serving a pack, on both engines",
}

_HEAD = """# Performance

How fast a gateway with the shipped model `faces64` is, and what CPU and memory it takes: on CPUs, without a
GPU. Latency is what the client waits, and the client runs on the same cores. Milliseconds unless said
otherwise.

- How latency is measured, and what threatens such figures: [benchmarking.md](benchmarking.md)
- What follows for the size of a deployment: [operations.md](operations.md#size), [scale.md](scale.md)
- What can be tuned: [howto/latency.md](howto/latency.md)

Every section says when, on which machine and with which command it was measured. `python -m benchmarks.page`
writes this page from `docs/figures/`; do not edit it.
"""


def headline(gateway: Mapping[str, Any], peers: Mapping[str, Any]) -> list[str]:
    """Title, the table of the main figures, and the list of sections.

    Args:
        gateway: `gateway.json`, by parts; rows of parts that are not there are left out.
        peers: `peers.json`, or nothing.
    """
    rows = [row for part, rows in _ROWS if part in gateway for row in rows(gateway[part]["figures"])]
    rows += _of_peers(peers)
    machines = [part["environment"]["machine"] for part in gateway.values()]
    cores = dict.fromkeys(f"{each['usable_cores']} cores of {each['cpu']}" for each in machines)
    figures = (
        [
            "## At a glance",
            f"On {', '.join(cores)}:",
            "",
            *table([["", "figure", "section"], *rows]),
            "",
        ]
        if rows
        else []
    )
    sections = [[_link(title), what] for title, what in _SECTIONS.items()]
    return [_HEAD, *figures, *table([["section", "what it tells"], *sections]), ""]


def _of_stages(figures: Mapping[str, Any]) -> list[list[str]]:
    new, old = (figures[name] for name in (NEW_SEED, REPEATED_SEED))
    return [
        ["one client, an image of a new seed", _both(new), _link(STAGES)],
        ["one client, another image of the same seed", _both(old), _link(STAGES)],
    ]


def _of_growth(figures: Mapping[str, Any]) -> list[list[str]]:
    best = max(figures["clients"], key=lambda row: float(row["images_per_second"]))
    reached = f"{plain(best['images_per_second'])} images/s, with {best['clients']} clients"
    return [["highest throughput", reached, _link(GROWTH)]]


def _of_knee(figures: Mapping[str, Any]) -> list[list[str]]:
    knee = figures["knee"]
    bound = f"p{knee['percent']:g} within {knee['seconds'] * 1e3:g} ms"
    return [[f"highest rate of independent requests, {bound}", f"{knee['rate']:.0f} requests/s", _link(KNEE)]]


def _of_start(figures: Mapping[str, Any]) -> list[list[str]]:
    rows = [["memory after the start", f"{median(figures['resident_mib']):.0f} MiB", _link(START)]]
    if first := figures.get("seconds_to_first_image"):
        said = f"{median(first):.2f} s"
        rows.insert(0, ["from the start of the process to the first image", said, _link(START)])
    return rows


def _of_peers(peers: Mapping[str, Any]) -> list[list[str]]:
    servers = peers.get("median", {})
    if not {OURS, _PLAIN_SERVER} <= servers.keys():
        return []
    ours, other = (servers[name]["several"]["per_second"] for name in (OURS, _PLAIN_SERVER))
    ratio = f"{ours / other:.2f} ({plain(ours)} to {plain(other)} images/s)"
    return [["throughput over that of a gRPC handler that only runs the same graphs", ratio, _link(PEERS)]]


_ROWS = (("stages", _of_stages), ("growth", _of_growth), ("knee", _of_knee), ("start", _of_start))


def _both(row: Mapping[str, Any]) -> str:
    return f"p50 {ms(row['p50'])} ms, p99 {ms(row['p99'])} ms"


def _link(title: str) -> str:
    """As code hosts make anchors of headings."""
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"
