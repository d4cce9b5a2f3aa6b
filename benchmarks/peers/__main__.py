"""The gateway and what it could be replaced with, in turn: `python -m benchmarks.peers`, `make bench-peers`.

Each server is started, loaded with one client and with several, and stopped; then comes the next, and after
the last one another round. So a machine that changes its speed changes that of all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks.environment import fingerprint
from benchmarks.peer_sections import peers
from benchmarks.peers.plan import plan_of
from benchmarks.peers.processes import PeerFailedError, Running, environment_of, folder_of, running
from benchmarks.peers.table import FLOORS, GRAPHS, OLD, OURS, PEERS, ROOT, SERVERS, Peer

_READY_SECONDS = 120.0
_LABEL_MAP = ROOT / "client" / "examples" / "label_maps" / "heldout_wide_smile.png"


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--peer", "names", multiple=True, help=f"Of {', '.join(PEERS)}; all that are installed if none."
)
@click.option(
    "--floor",
    is_flag=True,
    help="The gateway beside grpc.aio with parts of the work left out, in place of the peers.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="Of all servers in turn.")
@click.option("--seconds", type=click.FloatRange(min=0.2), default=6.0, help="Of each load.")
@click.option("--clients", type=click.IntRange(min=2), default=8, help="Of the load with several.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=len(os.sched_getaffinity(0)), help="Of each peer."
)
@click.option("--ensemble", default="faces64_label_map", help="The ensemble that all serve.")
@click.option(
    "--model-repository",
    "repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "model_repository",
    help="Of the gateway and, without --peer-repository, of all.",
)
@click.option(
    "--peer-repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of the others, for example that of an earlier version.",
)
@click.option(
    "--old-checkout",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of an earlier version, with its environment; its gateway takes part.",
)
@click.option("--label-map", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=_LABEL_MAP)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs" / "figures" / "peers.json",
)
def main(
    *,
    names: tuple[str, ...],
    floor: bool,
    rounds: int,
    seconds: float,
    clients: int,
    workers: int,
    ensemble: str,
    repository: Path,
    peer_repository: Path | None,
    old_checkout: Path | None,
    label_map: Path,
    output: Path,
) -> None:
    """Compare servers around the same graphs, and write what came out as JSON."""
    repository, others = repository.resolve(), (peer_repository or repository).resolve()
    chosen = [_peer(name) for name in names]
    if floor:
        chosen += [*FLOORS.values(), PEERS[OURS]]
    chosen = chosen or _installed()
    written: dict[str, Any] = {
        "environment": fingerprint(repository),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "clients": clients,
            "workers": workers,
            "ensemble": ensemble,
        },
        "notes": {peer.name: peer.note for peer in chosen if peer.note},
        "packages": {peer.name: environment_of(peer) for peer in chosen},
    }
    results: dict[str, list[dict[str, Any]]] = {}
    output.parent.mkdir(parents=True, exist_ok=True)

    def keep(number: int, name: str, figures: dict[str, Any]) -> None:
        """Write what is there so far: a server that fails ends the run, and what came before counts."""
        results.setdefault(name, []).append(figures)
        _say(number, name, figures)
        written["median"] = {name: _median(each) for name, each in results.items()}
        output.write_text(json.dumps(written | {"rounds": results}, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        plan.write_text(json.dumps(plan_of(others, ensemble)))
        bench = _Bench(
            plan,
            label_map.resolve(),
            clients,
            seconds,
            workers,
            ensemble.removesuffix("_label_map"),
            only_new=floor,
        )
        for number in range(rounds):
            keep(number, GRAPHS, bench.graphs())
            for peer in chosen:
                served = repository if peer.name == OURS else others
                keep(number, peer.name, bench.measure(peer, served, ROOT))
            if old_checkout is not None:
                old, root = replace(PEERS[OURS], name=OLD), old_checkout.resolve()
                keep(number, OLD, bench.measure(old, root / "model_repository", root))
    graphs = "the same graphs" if others == repository else "those of --peer-repository"
    click.echo("\n" + "\n".join(peers(written, graphs)))
    click.echo(f"\nfigures: {output}")


class _Bench:
    """One kind of load on one server after the other."""

    def __init__(
        self,
        plan: Path,
        label_map: Path,
        clients: int,
        seconds: float,
        workers: int,
        pack: str,
        *,
        only_new: bool = False,
    ) -> None:
        self._plan, self._label_map, self._pack = plan, label_map, pack
        self._clients, self._seconds, self._workers = clients, seconds, workers
        self._only_new = only_new

    def graphs(self) -> dict[str, Any]:
        """The graphs without a server: one image at a time on all cores, and one on each core."""
        return {
            "one": self._alone(1, self._workers),
            "several": self._alone(self._workers, 1),
        }

    def measure(self, peer: Peer, repository: Path, root: Path) -> dict[str, Any]:
        """Start a server, load it, and stop it."""
        started = time.perf_counter()
        try:
            with running(
                peer, self._plan, repository=repository, workers=self._workers, root=root, pack=self._pack
            ) as server:
                self._wait(peer, server)
                figures: dict[str, Any] = {"seconds_to_first_image": time.perf_counter() - started}
                figures["one"] = self._load(peer, server, "--clients", "1")
                more = peer.kind == "maskweave" and not self._only_new
                if more:
                    figures["repeated"] = self._load(peer, server, "--clients", "1", "--repeated")
                figures["several"] = self._load(peer, server, "--clients", str(self._clients))
                if more:
                    rate = 0.7 * figures["several"]["per_second"]
                    figures["seventy_percent"] = self._load(peer, server, "--rate", f"{rate:.2f}")
                figures["resident_mib"] = server.resident_bytes() / 2**20
                return figures
        except PeerFailedError as error:
            raise click.ClickException(f"{peer.name} {error}") from error

    def _wait(self, peer: Peer, server: Running) -> None:
        end = time.monotonic() + _READY_SECONDS
        while True:
            done = self._run_load(peer, server, "--clients", "1", seconds=0.2, warmup=0.0)
            if done.returncode == 0:
                return
            server.check()
            if time.monotonic() > end:
                printed = server.log.read_text(errors="replace")[-2000:]
                raise PeerFailedError(
                    f"gave no image within {_READY_SECONDS:g} s: {done.stderr[-500:]} {printed}"
                )
            time.sleep(0.1)

    def _load(self, peer: Peer, server: Running, *load: str) -> dict[str, Any]:
        before = server.cpu_seconds()
        done = self._run_load(peer, server, *load, seconds=self._seconds, warmup=min(1.5, self._seconds))
        used = server.cpu_seconds() - before
        if done.returncode:
            server.check()
            raise PeerFailedError(f"failed under load: {done.stderr[-1000:]}")
        figures: dict[str, Any] = json.loads(done.stdout)
        figures["cpu_ms_per_image"] = used * 1e3 / figures["images_in_all"]
        return figures

    def _run_load(
        self, peer: Peer, server: Running, *load: str, seconds: float, warmup: float
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.peers.load", "--kind", peer.kind, *load]
        command += ["--address", server.address, "--plan", str(self._plan)]
        command += ["--label-map", str(self._label_map)]
        command += ["--seconds", str(seconds), "--warmup-seconds", str(warmup)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    def _alone(self, threads: int, operator_threads: int) -> dict[str, Any]:
        command = [sys.executable, str(SERVERS / "graphs_alone.py")]
        command += [str(threads), str(operator_threads), str(self._seconds)]
        environ = {**os.environ, "PEER_PLAN": str(self._plan), "PYTHONPATH": str(SERVERS.parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures


def _peer(name: str) -> Peer:
    if name not in PEERS:
        raise click.BadParameter(f"{name!r}; there are {', '.join(PEERS)}", param_hint="--peer")
    return PEERS[name]


def _installed() -> list[Peer]:
    """The peers whose environments are there; says which are not."""
    found = [peer for peer in PEERS.values() if folder_of(peer).is_dir()]
    for peer in PEERS.values():
        if peer not in found:
            click.echo(f"left out, not installed: {peer.name} ({folder_of(peer)})", err=True)
    return found


def _median(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of each figure over the rounds."""
    first = rounds[0]
    return {
        key: _median([each[key] for each in rounds])
        if isinstance(value, Mapping)
        else statistics.median(each[key] for each in rounds)
        for key, value in first.items()
    }


def _say(number: int, name: str, figures: Mapping[str, Any]) -> None:
    one, several = figures["one"]["observed"]["p50"], figures["several"]["per_second"]
    own = f", own {figures['one']['own']['p50']:.2f} ms" if "own" in figures["one"] else ""
    click.echo(f"round {number + 1}: {name}: {one:.1f} ms{own}, {several:.1f} images/s", err=True)


if __name__ == "__main__":
    main()
