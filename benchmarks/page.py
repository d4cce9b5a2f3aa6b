"""Write `docs/performance.md` from the figures beside it: `python -m benchmarks.page`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks import gateway_sections, headline, peer_sections
from benchmarks.tables import ms, plain, table

DOCS = Path(__file__).parent.parent / "docs"
FIGURES = DOCS / "figures"
PAGE = DOCS / "performance.md"

_MISSING = "Not measured in this version: {command}."


def page(figures: Path = FIGURES) -> str:
    """The page's text.

    Args:
        figures: The folder with `gateway.json`, `peers.json`, `peers_1_0_0.json`, `floor.json`,
            `sizing.json`, `heavy.json` and `error_rates.json`; what is not there is said to be missing. What
            people have written about them is in `reached.md` and `layouts.md`.
    """
    gateway, peers = _read(figures / "gateway.json"), _read(figures / "peers.json")
    heavy = _read(figures / "heavy.json")
    sections: list[tuple[str, Iterable[str]]] = [
        (headline.STAGES, _part(gateway, "stages", gateway_sections.stages)),
        (headline.KINDS, _part(gateway, "kinds", gateway_sections.kinds)),
        (headline.KNEE, _part(gateway, "knee", gateway_sections.knee)),
        (headline.GROWTH, _part(gateway, "growth", gateway_sections.growth)),
        (headline.MODELS, _part(gateway, "models", gateway_sections.models)),
        (headline.OVERLOAD, _part(gateway, "overload", gateway_sections.overload)),
        (headline.START, _part(gateway, "start", gateway_sections.start)),
        (headline.SIZE, _size(_read(figures / "sizing.json"))),
        (headline.HEAVY, _heavy(heavy)),
        (headline.PEERS, _peers(peers, _read(figures / "peers_1_0_0.json"))),
        (headline.FLOOR, _floor(_read(figures / "floor.json"), figures / "reached.md")),
        (headline.WRONG, _wrong(_read(figures / "error_rates.json"))),
        (headline.LAYOUTS, _written(figures / "layouts.md")),
    ]
    lines = headline.headline(gateway, peers)
    for title, body in sections:
        lines += [f"## {title}", *body, ""]
    lines += [
        "## Not measured",
        "GPUs, Triton's own backends, and more cores than the machines above have.",
    ]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _part(gateway: Mapping[str, Any], name: str, body: Any) -> list[str]:
    if name not in gateway:
        return [_MISSING.format(command=f"`python -m benchmarks.measure --part {name}`")]
    part = gateway[name]
    return [_measured(part["environment"], part["command"]), "", *body(part["figures"])]


def _measured(environment: Mapping[str, Any], command: str) -> str:
    machine = environment["machine"]
    commit = str(environment.get("git", {}).get("commit", ""))[:12] or "unknown"
    packages = environment["packages"]
    return (
        f"Measured on {environment['date'][:10]}, {machine['usable_cores']} cores of {machine['cpu']} "
        f"({', '.join(machine['instruction_sets'])}), Python {environment['python']}, ONNX Runtime "
        f"{packages.get('onnxruntime')}, grpcio {packages.get('grpcio')}, commit {commit}, load average "
        f"{machine['load_average_at_start']:g} before, with `{command}`."
    )


def _peers(peers: Mapping[str, Any], old_graphs: Mapping[str, Any]) -> list[str]:
    lines = []
    runs = (
        (peers, "make bench-peers", "the same graphs"),
        (old_graphs, "make bench-peers-old", "the graphs of version 1.0.0"),
    )
    for run, command, served in runs:
        if not run:
            lines += [_MISSING.format(command=f"`{command}`"), ""]
            continue
        lines += [_measured(run["environment"], command), "", *peer_sections.peers(run, served), ""]
    if reached := peer_sections.targets(peers, old_graphs):
        lines += ["### Aims, and what was measured", "Each round by itself:", "", *reached, ""]
    return lines[:-1]


def _floor(run: Mapping[str, Any], written: Path) -> list[str]:
    if not run:
        return [_MISSING.format(command="`make bench-floor`")]
    text = ["", *written.read_text().rstrip().splitlines()] if written.exists() else []
    return [_measured(run["environment"], "make bench-floor"), "", *peer_sections.floor(run), *text]


def _written(text: Path) -> list[str]:
    """What people wrote; its links lead out of its own folder."""
    return text.read_text().rstrip().replace("](../", "](").splitlines() if text.exists() else []


def _heavy(heavy: Mapping[str, Any]) -> list[str]:
    if not heavy:
        return [_MISSING.format(command="`python -m benchmarks.heavy`")]
    figures = heavy["figures"]
    flops, best = figures["flops"], figures["best_convolution_flops_per_second"]
    served = {name: way for name, way in figures["ways"].items() if "stages" in way}
    rows = [["stage", "GFLOP", *(part for name in served for part in (f"{name}, ms", "of the peak"))]]
    for stage, count in flops.items():
        row = [stage, f"{count / 1e9:.2f}"]
        for way in served.values():
            seconds = way["stages"].get(stage)
            row += ["", ""] if seconds is None else [ms(seconds), f"{count / seconds / best:.0%}"]
        rows.append(row)
    total = ["**all**", f"{sum(flops.values()) / 1e9:.2f}"]
    for way in served.values():
        seconds = sum(way["stages"].values())
        total += [ms(seconds), f"{sum(flops.values()) / seconds / best:.0%}"]
    rows.append(total)
    memory = [["", *served], ["ready after, s"], ["memory (PSS) when ready, MiB"], ["after the images, MiB"]]
    for way in served.values():
        memory[1].append(plain(way["seconds_to_ready"]))
        memory[2].append(plain(way["memory_mib_at_start"]))
        memory[3].append(plain(way["memory_mib"]))
    refused = [f"- {name}: {way['refused']}" for name, way in figures["ways"].items() if "refused" in way]
    return [
        _measured(heavy["environment"], heavy["command"]),
        "",
        f"A StyleGAN2 of the published widths with random weights (`{figures['model']}`), served as any pack "
        f"is; one client, new seeds, medians of {figures['requests']}. The peak is the fastest convolution "
        f"in FP32 that ONNX Runtime does on {figures['threads']} threads here: {best / 1e9:.0f} GFLOP/s.",
        "",
        *table(rows),
        "",
        *table(memory),
        *(["", "Not served:", ""] if refused else []),
        *refused,
    ]


def _size(sizing: Mapping[str, Any]) -> list[str]:
    if not sizing:
        return [_MISSING.format(command="`python -m benchmarks.sizing`")]
    asked = {
        "callers": lambda row: f"{row['callers']} callers",
        "concurrency": lambda row: f"64 callers, concurrency_limit {row['settings']['concurrency_limit']}",
        "messages": lambda row: (
            f"{row['at_once']} messages at once, max_message_bytes "
            f"{row['settings']['max_message_bytes'] // 2**20} MiB, as large as they may be"
        ),
        "sessions": lambda row: f"{row['sessions']} sessions, canvases of {row['canvas']} x {row['canvas']}",
    }
    found = [
        [
            "one replica",
            "memory idle, MiB",
            "at most",
            "after",
            "cores",
            "CPU ms an image",
            "images/s",
            "outcomes",
        ]
    ]
    for kind, rows in sizing["figures"].items():
        for row in rows:
            made = row["outcomes"].get("OK", 0)
            # Sessions are idle for most of the time: theirs is no rate.
            rate = (
                [] if kind == "sessions" else [row["cpu_seconds"] * 1e3 / max(made, 1), made / row["seconds"]]
            )
            found.append(
                [
                    asked[kind](row),
                    *(f"{row[name]:.0f}" for name in ("idle_mib", "peak_mib", "after_mib")),
                    f"{row['cpu_seconds'] / row['seconds']:.2f}",
                    *(plain(each) for each in rate or (None, None)),
                    ", ".join(f"{code} {count}" for code, count in row["outcomes"].items()),
                ]
            )
    return [
        _measured(sizing["environment"], sizing["command"]),
        "",
        "A gateway for each row, on the embedded engine with its default settings but those named; memory is "
        "what is resident. The client runs on the same cores. "
        "[operations.md](operations.md#size) says what follows from it.",
        "",
        *table(found),
        "",
        *_rules(sizing["figures"]),
    ]


def _rules(figures: Mapping[str, Any]) -> list[str]:
    """What the rows say one more of each takes: slopes between the least and the most that was tried."""
    rows = [row for each in figures.values() for row in each]
    idle = sorted(row["idle_mib"] for row in rows)[len(rows) // 2]
    lines = [f"- A gateway that has made its first images and does nothing: {idle:.0f} MiB."]
    if len(limits := figures.get("concurrency", ())) > 1:
        first, last = limits[0], limits[-1]
        more = last["settings"]["concurrency_limit"] - first["settings"]["concurrency_limit"]
        each = (last["peak_mib"] - first["peak_mib"]) / more
        lines.append(f"- An image in progress (`concurrency_limit`): {each:.2f} MiB.")
    if messages := figures.get("messages", ()):
        times = [
            (row["peak_mib"] - row["idle_mib"])
            * 2**20
            / row["at_once"]
            / row["settings"]["max_message_bytes"]
            for row in messages
        ]
        lines.append(f"- A request in progress: up to {max(times):.1f} times the size of its message.")
    if len(sessions := figures.get("sessions", ())) > 1:
        first, last = sessions[0], sessions[-1]
        each = (last["after_mib"] - first["after_mib"]) / (last["sessions"] - first["sessions"])
        lines.append(
            f"- A session of `Paint` with a canvas of {last['canvas']} x {last['canvas']}: {each:.1f} MiB."
        )
    busy = [row for row in figures.get("callers", ()) if row["outcomes"].get("OK")]
    if busy:
        least = min(row["cpu_seconds"] / row["outcomes"]["OK"] for row in busy)
        lines.append(f"- A core makes at most {1 / least:.0f} images a second.")
    return lines


def _wrong(rates: Mapping[str, Any]) -> list[str]:
    if not rates:
        return [_MISSING.format(command="`python -m tests.unit.bench.error_rates`")]
    verdicts = ("worse", "better", "same", "cannot_tell")
    compared = [["truth", "runs", *(name.replace("_", " ") for name in verdicts)]]
    compared += [
        [row["case"], str(row["runs"]), *(f"{row[name]:.1%}" for name in verdicts)]
        for row in rates["compare"]
    ]
    knees = [["latencies of single trials differ by", "searches", "interval has the knee", "its width"]]
    knees += [
        [f"{row['noise']:.0%}", str(row["runs"]), f"{row['covered']:.1%}", f"{row['width']:.0%} of the knee"]
        for row in rates["knee"]
    ]
    return [
        f"Simulated on {rates['created']}, with seeds that nothing was tuned on and truths that are known, "
        f"with `{rates['command']}`. Verdicts of comparing five pairs of runs at one load:",
        "",
        *table(compared),
        "",
        *table(knees),
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Write nothing; fail when the page is not what would be written.")
def main(*, check: bool) -> None:
    """Write docs/performance.md from docs/figures/."""
    text = page()
    if check:
        if not PAGE.exists() or PAGE.read_text() != text:
            raise click.ClickException("docs/performance.md is not in step: python -m benchmarks.page")
        return
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
