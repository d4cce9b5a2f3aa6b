"""Write `docs/performance.md` from the figures beside it: `python -m benchmarks.page`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.scenario_files import NEW_SEED, REPEATED_SEED

DOCS = Path(__file__).parent.parent / "docs"
FIGURES = DOCS / "figures"
PAGE = DOCS / "performance.md"

_HEAD = """# Performance

Written by `python -m benchmarks.page` from `docs/figures/`; do not edit. The figures are measured by two
commands: `make bench` (the gateway) and `make bench-peers` (the gateway beside what it could be replaced
with). Each section says when, on what and with which command. How latency is measured, and what threatens
such figures: [benchmarking.md](benchmarking.md). What a fleet needs: [scale.md](scale.md). Milliseconds
unless said otherwise; latency is what the client waits, on the same cores as the service unless said
otherwise.
"""
_MISSING = "Not measured in this version: {command}."
_NETWORK = ("sent late", "network and client")


def page(figures: Path = FIGURES) -> str:
    """The page's text.

    Args:
        figures: The folder with `gateway.json`, `peers.json`, `sizing.json` and `heavy.json`; what is not
            there is said to be missing.
            be missing.
    """
    gateway, peers = _read(figures / "gateway.json"), _read(figures / "peers.json")
    heavy = _read(figures / "heavy.json")
    sections: list[tuple[str, Iterable[str]]] = [
        ("Beside other servers", _peers(peers)),
        ("Where the time goes", _part(gateway, "stages", _stages)),
        ("Every kind of request", _part(gateway, "kinds", _kinds)),
        ("The knee", _part(gateway, "knee", _knee)),
        ("More clients, more images, larger label maps", _part(gateway, "growth", _growth)),
        ("Models of other sizes", _part(gateway, "models", _models)),
        ("Overload", _part(gateway, "overload", _overload)),
        ("Start and memory", _part(gateway, "start", _start)),
        ("The size of a replica", _size(_read(figures / "sizing.json"))),
        ("A heavy model, on every runtime", _heavy(heavy)),
    ]
    lines = [_HEAD]
    for title, body in sections:
        lines += [f"## {title}", *body, ""]
    lines += [
        "## Not measured",
        "GPUs, Triton's own backends, and more cores than the machines above have.",
    ]
    earlier = figures / "earlier.md"
    if earlier.exists():
        # Its links lead out of its own folder.
        lines += ["", earlier.read_text().rstrip().replace("](../", "](")]
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


def _peers(peers: Mapping[str, Any]) -> list[str]:
    if not peers:
        return [_MISSING.format(command="`make bench-peers`")]
    settings = peers["settings"]
    ours = peers["median"].get("maskweave")
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
    for name, each in peers["median"].items():
        several = each["several"]
        rows.append(
            [
                name,
                _plain(each["one"]["observed"]["p50"]),
                _plain(each["one"]["observed"]["p99"]),
                _plain(several["per_second"]),
                f"{ours['several']['per_second'] / several['per_second']:.2f}" if ours else "",
                _plain(several["cpu_ms_per_image"]),
                _plain(each.get("seconds_to_first_image")),
                _plain(each.get("resident_mib")),
            ]
        )
    notes = [f"- {name}: {note}" for name, note in peers.get("notes", {}).items()]
    return [
        _measured(peers["environment"], peers.get("command", "make bench-peers")),
        "",
        f"Medians of {settings['rounds']} rounds in turn; the peers serve {settings['peers_serve']}.",
        "",
        *_table(rows),
        *([""] if notes else []),
        *notes,
    ]


def _stages(figures: Mapping[str, Any]) -> list[str]:
    new, old, bare = figures[NEW_SEED], figures[REPEATED_SEED], figures["bare"]
    rows = [["one client", "new seed p50", "p99", "repeated seed p50", "p99", "bare p50"]]
    rows.append(["as the client sees it", *_both(new, "p50", "p99"), *_both(old, "p50", "p99"), ""])
    for name in dict.fromkeys((*new["parts"], *old["parts"])):
        stage = name.removeprefix("stage ")
        one, other = new["parts"].get(name), old["parts"].get(name)
        rows.append([stage, *_two(one), *_two(other), _ms(bare["stages"].get(stage))])
    rows.append(["**the gateway's own** (mean)", _ms(_own(new)), "", _ms(_own(old)), "", ""])
    rows.append(["all stages, bare", "", "", "", "", _ms(bare["all stages"])])
    return [
        *_table(rows),
        "",
        f"The models alone on {bare['threads']} threads: {bare['images_per_second']:.0f} images/s. The "
        "gateway's own "
        "time is the mean of everything in the service but the stages: decoding, encoding, queues, the rest.",
    ]


def _own(row: Mapping[str, Any]) -> float:
    return sum(
        float(part["mean"])
        for name, part in row["parts"].items()
        if not name.startswith("stage ") and name not in _NETWORK
    )


def _kinds(figures: Mapping[str, Any]) -> list[str]:
    rows = [["one client", "p50", "p99", "requests/s", "CPU ms a request", "failed"]]
    rows += [
        [
            name,
            *_both(row, "p50", "p99"),
            _plain(row["per_second"]),
            _ms(row["cpu_per_request"]),
            str(row["failed"]),
        ]
        for name, row in figures.items()
    ]
    return _table(rows)


def _knee(figures: Mapping[str, Any]) -> list[str]:
    knee = figures["knee"]
    high = "more" if knee["high"] is None else f"{knee['high']:.0f}"
    rows = [["requests/s", "p50", "p99", "failed", "counts"]]
    rows += [
        [
            f"{row['rate']:.3g}",
            *_both(row, "p50", "p99"),
            str(row["failed"]),
            "yes" if row["counts"] else "no",
        ]
        for row in figures["rates"]
    ]
    return [
        f"**{knee['rate']:.0f} requests a second** keep p{knee['percent']:g} at most "
        f"{knee['seconds'] * 1e3:g} ms with "
        f"at most {knee['errors']:.1%} failed (95 % interval {knee['low']:.0f} to {high}; the search ended: "
        f"{knee['end']}).",
        "",
        *_table(rows),
    ]


def _growth(figures: Mapping[str, Any]) -> list[str]:
    clients = [["clients", "images/s", "p50", "p99", "CPU ms an image", "failed"]]
    clients += [
        [
            str(row["clients"]),
            _plain(row["images_per_second"]),
            *_both(row, "p50", "p99"),
            _ms(row["cpu_per_request"]),
            str(row["failed"]),
        ]
        for row in figures["clients"]
    ]
    images = [["images in a request", "p50", "p99", "images/s"]]
    images += [
        [number, *_both(row, "p50", "p99"), _plain(row["images_per_second"])]
        for number, row in figures["images"].items()
    ]
    sizes = [["label map, px", "p50", "p99"]]
    sizes += [[size, *_both(row, "p50", "p99")] for size, row in figures["label_map_pixels"].items()]
    return [
        *_table(clients),
        "",
        *_table(images),
        "",
        *_table(sizes),
        "",
        f"Resident memory of the gateway after all of that: {figures['resident_mib_after']:.0f} MiB.",
    ]


def _models(figures: Mapping[str, Any]) -> list[str]:
    rows = [["image, px", "classes", "one client p50", "p99", "images/s, 8 clients", "CPU ms an image"]]
    rows += [
        [
            str(each["pixels"]),
            str(each["classes"]),
            *_both(each["one"], "p50", "p99"),
            _plain(each["eight"]["images_per_second"]),
            _ms(each["eight"]["cpu_per_request"]),
        ]
        for each in figures["models"].values()
    ]
    return [
        "Networks of the architecture of `faces64_styles` that nobody trained "
        "(`maskweave export untrained`), all in one gateway: each doubling of the side is a block more, and "
        "each class has a style and at least a channel of its own.",
        "",
        *_table(rows),
        "",
        f"Resident memory of the gateway after all of that: {figures['resident_mib_after']:.0f} MiB.",
    ]


def _overload(figures: Mapping[str, Any]) -> list[str]:
    rows = [["rate, of the peak", "came/s", "answered in time/s", "p50", "p99", "outcomes"]]
    for row in figures["rates"]:
        codes = ", ".join(f"{code} {number}" for code, number in row["codes"].items())
        share = f"{row['rate'] / figures['peak']:.1f}"
        rows.append(
            [share, f"{row['rate']:.3g}", _plain(row["per_second"]), *_both(row, "p50", "p99"), codes]
        )
    return [
        f"A closed loop of eight clients reaches {figures['peak']:.1f}/s. Then requests come by chance "
        "and do not wait "
        f"for one another, each with a deadline of {figures['deadline_seconds']:g} s. Percentiles are of "
        "what was "
        "answered or given up, from when it was due.",
        "",
        *_table(rows),
    ]


def _start(figures: Mapping[str, Any]) -> list[str]:
    seconds, memory = sorted(figures["seconds_to_ready"]), sorted(figures["resident_mib"])
    lines = [
        f"From the start of the process to the first healthy answer: {seconds[len(seconds) // 2]:.2f} s "
        f"({seconds[0]:.2f} to {seconds[-1]:.2f}, {len(seconds)} starts); resident memory then "
        f"{memory[len(memory) // 2]:.0f} MiB.",
    ]
    if first := sorted(figures.get("seconds_to_first_image", ())):
        shares = sorted(figures["pss_mib"])
        lines.append(
            f"To the first image at a client: {first[len(first) // 2]:.2f} s ({first[0]:.2f} to "
            f"{first[-1]:.2f}). "
            f"Memory with pages that are mapped twice counted once (PSS): {shares[len(shares) // 2]:.0f} MiB."
        )
    return lines


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
            row += ["", ""] if seconds is None else [_ms(seconds), f"{count / seconds / best:.0%}"]
        rows.append(row)
    total = ["**all**", f"{sum(flops.values()) / 1e9:.2f}"]
    for way in served.values():
        seconds = sum(way["stages"].values())
        total += [_ms(seconds), f"{sum(flops.values()) / seconds / best:.0%}"]
    rows.append(total)
    memory = [["", *served], ["ready after, s"], ["memory (PSS) when ready, MiB"], ["after the images, MiB"]]
    for way in served.values():
        memory[1].append(_plain(way["seconds_to_ready"]))
        memory[2].append(_plain(way["memory_mib_at_start"]))
        memory[3].append(_plain(way["memory_mib"]))
    refused = [f"- {name}: {way['refused']}" for name, way in figures["ways"].items() if "refused" in way]
    return [
        _measured(heavy["environment"], heavy["command"]),
        "",
        f"A StyleGAN2 of the published widths with random weights (`{figures['model']}`), served as any pack "
        f"is; one client, new seeds, medians of {figures['requests']}. The peak is the fastest convolution "
        f"in FP32 that ONNX Runtime does on {figures['threads']} threads here: {best / 1e9:.0f} GFLOP/s.",
        "",
        *_table(rows),
        "",
        *_table(memory),
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
    table = [
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
            table.append(
                [
                    asked[kind](row),
                    *(f"{row[name]:.0f}" for name in ("idle_mib", "peak_mib", "after_mib")),
                    f"{row['cpu_seconds'] / row['seconds']:.2f}",
                    *(_plain(each) for each in rate or (None, None)),
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
        *_table(table),
    ]


def _both(row: Mapping[str, Any], *names: str) -> list[str]:
    return [_ms(row[name]) for name in names]


def _two(part: Mapping[str, Any] | None) -> list[str]:
    return ["", ""] if part is None else [_ms(part["p50"]), _ms(part["p99"])]


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


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
