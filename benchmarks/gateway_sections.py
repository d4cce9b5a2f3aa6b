"""The sections of `docs/performance.md` on one gateway: from the parts of `gateway.json` to lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.scenario_files import NEW_SEED, REPEATED_SEED
from benchmarks.tables import both, ms, plain, table, two

_NETWORK = ("sent late", "network and client")


def stages(figures: Mapping[str, Any]) -> list[str]:
    """One client, by stage, beside the models alone."""
    new, old, bare = figures[NEW_SEED], figures[REPEATED_SEED], figures["bare"]
    rows = [["one client", "new seed p50", "p99", "repeated seed p50", "p99", "bare p50"]]
    rows.append(["as the client sees it", *both(new, "p50", "p99"), *both(old, "p50", "p99"), ""])
    for name in dict.fromkeys((*new["parts"], *old["parts"])):
        stage = name.removeprefix("stage ")
        one, other = new["parts"].get(name), old["parts"].get(name)
        rows.append([stage, *two(one), *two(other), ms(bare["stages"].get(stage))])
    rows.append(["**the gateway's own** (mean)", ms(_own(new)), "", ms(_own(old)), "", ""])
    rows.append(["all stages, bare", "", "", "", "", ms(bare["all stages"])])
    return [
        *table(rows),
        "",
        "`admission` is the wait for a turn in the queue, `queue` the wait for a worker, `waiting for an "
        "executor` what the stages wait before they run; *bare* are the same graphs without a service. The "
        "gateway's own time is the mean of everything in the service but the stages. The models alone on "
        f"{bare['threads']} threads make {bare['images_per_second']:.0f} images/s.",
    ]


def _own(row: Mapping[str, Any]) -> float:
    return sum(
        float(part["mean"])
        for name, part in row["parts"].items()
        if not name.startswith("stage ") and name not in _NETWORK
    )


def kinds(figures: Mapping[str, Any]) -> list[str]:
    """Every kind of request."""
    rows = [["one client", "p50", "p99", "requests/s", "CPU ms a request", "failed"]]
    rows += [
        [
            name,
            *both(row, "p50", "p99"),
            plain(row["per_second"]),
            ms(row["cpu_per_request"]),
            str(row["failed"]),
        ]
        for name, row in figures.items()
    ]
    return table(rows)


def knee(figures: Mapping[str, Any]) -> list[str]:
    """The highest rate within the target, and the rates that were tried."""
    knee = figures["knee"]
    high = "more" if knee["high"] is None else f"{knee['high']:.0f}"
    rows = [["requests/s", "p50", "p99", "failed", "counts"]]
    rows += [
        [
            f"{row['rate']:.3g}",
            *both(row, "p50", "p99"),
            str(row["failed"]),
            "yes" if row["counts"] else "no",
        ]
        for row in figures["rates"]
    ]
    notes = [_of_the_client(figures["client"])] if "client" in figures else []
    return [
        f"**{knee['rate']:.0f} requests a second** keep p{knee['percent']:g} at most "
        f"{knee['seconds'] * 1e3:g} ms with "
        f"at most {knee['errors']:.1%} failed (95 % interval {knee['low']:.0f} to {high}; the search ended: "
        f"{knee['end']}).",
        *([""] if notes else []),
        *notes,
        "",
        *table(rows),
    ]


def _of_the_client(client: Mapping[str, Any]) -> str:
    way = f"by `{client['priority']}` before other processes" if client["priority"] else "as any process"
    return (
        f"The client ran on the same cores, {way}; it took at most {client['cores']:.1%} of a core, and in "
        f"every trial 99 of 100 requests were sent within {ms(client['lag_p99'])} ms of when they were due."
    )


def growth(figures: Mapping[str, Any]) -> list[str]:
    """More clients, images in a request, and pixels."""
    clients = [["clients", "images/s", "p50", "p99", "CPU ms an image", "failed"]]
    clients += [
        [
            str(row["clients"]),
            plain(row["images_per_second"]),
            *both(row, "p50", "p99"),
            ms(row["cpu_per_request"]),
            str(row["failed"]),
        ]
        for row in figures["clients"]
    ]
    images = [["images in a request", "p50", "p99", "images/s"]]
    images += [
        [number, *both(row, "p50", "p99"), plain(row["images_per_second"])]
        for number, row in figures["images"].items()
    ]
    sizes = [["label map, px", "p50", "p99"]]
    sizes += [[size, *both(row, "p50", "p99")] for size, row in figures["label_map_pixels"].items()]
    return [
        *table(clients),
        "",
        *table(images),
        "",
        *table(sizes),
        "",
        f"Resident memory of the gateway after all of that: {figures['resident_mib_after']:.0f} MiB.",
    ]


def models(figures: Mapping[str, Any]) -> list[str]:
    """Models of other sizes."""
    rows = [["image, px", "classes", "one client p50", "p99", "images/s, 8 clients", "CPU ms an image"]]
    rows += [
        [
            str(each["pixels"]),
            str(each["classes"]),
            *both(each["one"], "p50", "p99"),
            plain(each["eight"]["images_per_second"]),
            ms(each["eight"]["cpu_per_request"]),
        ]
        for each in figures["models"].values()
    ]
    return [
        "Untrained networks of the architecture of `faces64_styles` (`maskweave export untrained`), all in "
        "one gateway. Each doubling of the side adds a block; each class has a style and at least one "
        "channel of its own.",
        "",
        *table(rows),
        "",
        f"Resident memory of the gateway after all of that: {figures['resident_mib_after']:.0f} MiB.",
    ]


def overload(figures: Mapping[str, Any]) -> list[str]:
    """Multiples of the peak."""
    rows = [["rate, of the peak", "offered/s", "answered in time/s", "p50", "p99", "outcomes"]]
    for row in figures["rates"]:
        codes = ", ".join(f"{code} {number}" for code, number in row["codes"].items())
        share = f"{row['rate'] / figures['peak']:.1f}"
        rows.append([share, f"{row['rate']:.3g}", plain(row["per_second"]), *both(row, "p50", "p99"), codes])
    return [
        f"A closed loop of eight clients reaches {figures['peak']:.1f} images/s. Then requests arrive at "
        "random (Poisson), whatever has become of earlier ones, each with a deadline of "
        f"{figures['deadline_seconds']:g} s. Percentiles are over what was answered or given up, counted "
        "from when a request was due.",
        "",
        *table(rows),
    ]


def start(figures: Mapping[str, Any]) -> list[str]:
    """The start, and the memory after it."""
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
