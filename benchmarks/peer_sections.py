"""The sections of `docs/performance.md` on other servers: the table, and what was to be reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.table import FLOOR_PARTS, GRAPHS, OLD, OURS
from benchmarks.tables import plain, table

RIVALS = ("plain grpc.aio", "FastAPI", "mosec", "LitServe")

Round = Callable[[str], Mapping[str, Any]]
"""The figures of a server in one round."""


_NEW = "a new image, total in the service over 1.0.0's"
_REPAINT = "a repaint, total over 1.0.0's"

_GRAPHS_OF: Mapping[str, Callable[[Round], float]] = {
    _NEW: lambda one: float(one(GRAPHS)["one"]["observed"]["p50"] / one(OLD)["one"]["total"]["p50"]),
    _REPAINT: lambda one: float(
        one(OURS)["repeated"]["stages"]["p50"] / one(OLD)["repeated"]["total"]["p50"]
    ),
}
"""What is left of a quotient when everything but the networks takes no time: the graphs in a loop without a
server, and for a repaint, which no loop has, the stages in the service."""


def peers(figures: Mapping[str, Any], served: str) -> list[str]:
    """Servers beside one another, medians of the rounds; `served` says which graphs the peers serve."""
    settings = figures["settings"]
    ours = figures["median"].get(OURS)
    rows = [
        [
            "server",
            "one client p50",
            "p99",
            f"images/s, {settings['clients']} clients",
            "ours over it",
            "CPU ms an image",
            "first image, s",
            "memory, MiB",
        ]
    ]
    for name, each in figures["median"].items():
        several = each["several"]
        rows.append(
            [
                name,
                plain(each["one"]["observed"]["p50"]),
                plain(each["one"]["observed"]["p99"]),
                plain(several["per_second"]),
                f"{ours['several']['per_second'] / several['per_second']:.2f}" if ours else "",
                plain(several["cpu_ms_per_image"]),
                plain(each.get("seconds_to_first_image")),
                plain(each.get("resident_mib")),
            ]
        )
    notes = [f"- {name}: {note}" for name, note in figures.get("notes", {}).items()]
    return [
        f"Medians of {settings['rounds']} rounds in turn; the peers serve {served}.",
        "",
        *table(rows),
        *([""] if notes else []),
        *notes,
    ]


def targets(same_graphs: Mapping[str, Any], old_graphs: Mapping[str, Any]) -> list[str]:
    """What was to be reached, and what was: the median, and the least and the most of single rounds.

    Args:
        same_graphs: Of a run in which all served the same graphs; empty if there is none.
        old_graphs: Of one in which the others served those of version 1.0.0; empty if there is none.
    """
    rows = [["", "to reach", "median", "rounds", "of which the graphs"]]
    for name, bound, ours, run, figure in _targets():
        found = _each(old_graphs if run == "old" else same_graphs, figure)
        if found:
            reached = f"{statistics.median(found):.2f}"
            least = _each(same_graphs, _GRAPHS_OF[name]) if name in _GRAPHS_OF else []
            rows.append([name, f"{bound} {ours:g}", reached, _texts(found), _texts(least)])
    return table(rows) if len(rows) > 1 else []


def _targets() -> list[tuple[str, str, float, str, Callable[[Round], float]]]:
    """Name, comparison, bound, run, and how the figure of a round is computed."""

    def images(one: Round, name: str) -> float:
        return float(one(OURS)["several"]["per_second"] / one(name)["several"]["per_second"])

    def service(one: Round, load: str) -> float:
        return float(one(OURS)[load]["total"]["p50"] / one(OLD)[load]["total"]["p50"])

    def cpu(one: Round) -> float:
        return float(one(OURS)["several"]["cpu_ms_per_image"] - one(GRAPHS)["several"]["cpu_ms_per_image"])

    def tail(one: Round) -> float:
        observed = one(OURS)["seventy_percent"]["observed"]
        return float(observed["p99"] / observed["p50"])

    def over(name: str) -> Callable[[Round], float]:
        return lambda one: images(one, name)

    return [
        (
            "gateway's own time, one client, p50, ms",
            "≤",
            0.6,
            "same",
            lambda one: one(OURS)["one"]["own"]["p50"],
        ),
        ("CPU an image beyond the graphs, 8 clients, ms", "≤", 1.0, "same", cpu),
        ("images/s over the graphs alone", "≥", 0.97, "same", over(GRAPHS)),
        *((f"images/s over {name}, the same graphs", "≥", 1.0, "same", over(name)) for name in RIVALS),
        *((f"images/s over {name}, its graphs of 1.0.0", "≥", 2.0, "old", over(name)) for name in RIVALS),
        (
            _NEW,
            "≤",
            0.35,
            "same",
            lambda one: service(one, "one"),
        ),
        (_REPAINT, "≤", 0.3, "same", lambda one: service(one, "repeated")),
        ("p99 over p50 at 70 % of the images/s of 8 clients, random arrivals", "≤", 3.0, "old", tail),
    ]


def _each(run: Mapping[str, Any], figure: Callable[[Round], float]) -> list[float]:
    """The figure of each round in which all servers that it needs took part."""
    rounds = run.get("rounds", {})
    found = []
    for number in range(max(map(len, rounds.values()), default=0)):
        try:
            found.append(figure(lambda name, number=number: rounds[name][number]))  # type: ignore[misc]
        except (KeyError, IndexError):
            continue
    return found


def floor(figures: Mapping[str, Any]) -> list[str]:
    """The gateway beside grpc.aio with parts of the work left out: medians, and single rounds.

    Args:
        figures: Of a run of `make bench-floor`.
    """
    settings, rounds = figures["settings"], figures["rounds"]
    rows = [
        [
            "server",
            "one client p50",
            f"images/s, {settings['clients']} clients",
            "over the graphs alone",
            "CPU ms an image",
            "beyond the graphs",
            "the client's",
        ]
    ]
    for name, each in figures["median"].items():
        several, beyond, over = each["several"], "", ""
        if name == OURS or "graphs" in FLOOR_PARTS.get(name, ""):
            pairs = [
                (ours["several"], bare["several"])
                for ours, bare in zip(rounds[name], rounds[GRAPHS], strict=False)
            ]
            cpu = [ours["cpu_ms_per_image"] - bare["cpu_ms_per_image"] for ours, bare in pairs]
            beyond = _rounds(cpu)
            over = _rounds([ours["per_second"] / bare["per_second"] for ours, bare in pairs])
        elif name != GRAPHS:
            beyond = f"{several['cpu_ms_per_image']:.2f}"
        rows.append(
            [
                name,
                plain(each["one"]["observed"]["p50"]),
                plain(several["per_second"]),
                over,
                plain(several["cpu_ms_per_image"]),
                beyond,
                plain(several.get("client_cpu_ms_per_image")),
            ]
        )
    return [
        f"Medians of {settings['rounds']} rounds in turn, single rounds in brackets, of servers that leave "
        "out parts of the work: the reply has an image that was made at the start.",
        "",
        *table(rows),
    ]


def _rounds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({_texts(values)})"


def _texts(values: Sequence[float]) -> str:
    return " ".join(f"{each:.2f}" for each in values)
