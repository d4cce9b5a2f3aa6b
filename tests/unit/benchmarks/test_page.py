"""The performance page is made of what the figures beside it say."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.environment import fingerprint
from benchmarks.page import page


def write_peers(file: Path, median: object, number_of_rounds: int, **further: object) -> None:
    """Figures of a run of `make bench-peers`."""
    settings = {"rounds": number_of_rounds, "clients": 8}
    figures = {"environment": fingerprint(file.parent), "settings": settings, "median": median, **further}
    file.write_text(json.dumps(figures))


def test_the_peers_are_a_table_with_ratios(tmp_path: Path) -> None:
    def server(p50: float, images: float) -> dict[str, object]:
        one = {"observed": {"p50": p50, "p99": 2 * p50}}
        several = {"per_second": images, "cpu_ms_per_image": 11.5}
        return {"one": one, "several": several, "seconds_to_first_image": 1.25, "resident_mib": 321.0}

    median = {"maskweave": server(12.3, 90.0), "pip Triton": server(24.0, 60.0)}
    write_peers(tmp_path / "peers.json", median, 3, notes={"pip Triton": "a stand-in"})
    text = page(tmp_path)
    assert "| maskweave | 12.3 | 24.6 | 90 | 1.00 | 11.5 | 1.25 | 321 |" in text
    assert "| pip Triton | 24 | 48 | 60 | 1.50 |" in text
    assert "- pip Triton: a stand-in" in text
    assert "Medians of 3 rounds" in text


def test_what_was_to_be_reached_is_said_for_each_round_by_itself(tmp_path: Path) -> None:
    def server(images: float, cpu: float, total: float, own: float) -> dict[str, object]:
        load = {"observed": {"p50": total, "p99": 3 * total}, "total": {"p50": total}, "own": {"p50": own}}
        several = {"per_second": images, "cpu_ms_per_image": cpu}
        return {"one": load, "repeated": load, "several": several, "seventy_percent": load}

    def write(name: str, *others: str) -> None:
        rounds = {
            "graphs alone": [server(100.0, 10.0, 1.0, 0.0), server(100.0, 10.0, 1.0, 0.0)],
            "maskweave": [server(98.0, 11.5, 2.0, 0.5), server(96.0, 12.5, 4.0, 0.7)],
            **{name: [server(49.0, 12.0, 8.0, 4.0)] for name in others},
        }
        write_peers(tmp_path / name, {name: each[0] for name, each in rounds.items()}, 2, rounds=rounds)

    write("peers.json", "plain grpc.aio", "maskweave, old")
    write("peers_1_0_0.json", "mosec")
    text = page(tmp_path)
    assert "| gateway's own time, one client, p50, ms | ≤ 0.6 | 0.60 | 0.50 0.70 |" in text
    assert "| CPU an image beyond the graphs, 8 clients, ms | ≤ 1 | 2.00 | 1.50 2.50 |" in text
    assert "| images/s over the graphs alone | ≥ 0.97 | 0.97 | 0.98 0.96 |" in text
    # Of one round of two: the second did not get so far.
    assert "| images/s over plain grpc.aio, the same graphs | ≥ 1 | 2.00 | 2.00 |" in text
    assert "| images/s over mosec, its graphs of 1.0.0 | ≥ 2 | 2.00 | 2.00 |" in text
    # The second: how much of it is left when nothing but the networks takes time.
    assert "| a new image, total in the service over 1.0.0's | ≤ 0.35 | 0.25 | 0.25 | 0.12 |" in text
    assert (
        "| p99 over p50 at 70 % of the images/s of 8 clients, random arrivals | ≤ 3 | 3.00 | 3.00 3.00 |"
        in text
    )
    assert "over FastAPI" not in text


def test_what_is_not_there_is_said_with_the_command_that_measures_it(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "`make bench-peers`" in text
    assert "`python -m benchmarks.sizing`" in text
    for part in ("stages", "kinds", "knee", "growth", "models", "overload", "start"):
        assert f"`python -m benchmarks.measure --part {part}`" in text


def test_the_size_of_a_replica_is_a_table(tmp_path: Path) -> None:
    row = {"idle_mib": 150.2, "peak_mib": 180.0, "after_mib": 160.0, "seconds": 4.0, "cpu_seconds": 6.0}
    figures = {
        "callers": [{"callers": 4, "settings": {}, **row, "outcomes": {"OK": 400}}],
        "messages": [
            {
                "at_once": 8,
                "settings": {"max_message_bytes": 2**20},
                **row,
                "outcomes": {"OK": 10, "RESOURCE_EXHAUSTED": 6},
            }
        ],
        "sessions": [{"sessions": 8, "canvas": 1024, "settings": {}, **row, "outcomes": {"OK": 8}}],
    }
    content = {"environment": fingerprint(tmp_path), "command": "measure it", "figures": figures}
    (tmp_path / "sizing.json").write_text(json.dumps(content))
    text = page(tmp_path)
    assert "with `measure it`" in text
    assert "| 4 callers | 150 | 180 | 160 | 1.50 | 15 | 100 | OK 400 |" in text
    assert "max_message_bytes 1 MiB, as large as they may be | 150 |" in text
    assert "OK 10, RESOURCE_EXHAUSTED 6 |" in text
    assert "| 8 sessions, canvases of 1024 x 1024 | 150 | 180 | 160 | 1.50 |  |  | OK 8 |" in text


def test_the_rules_of_size_are_what_one_more_takes(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "idle_mib": 150.0,
        "peak_mib": 180.0,
        "after_mib": 160.0,
        "seconds": 4.0,
        "cpu_seconds": 6.0,
    }
    row |= {"outcomes": {"OK": 120}}
    figures = {
        "callers": [{"callers": 4, "settings": {}, **row}],
        "concurrency": [
            {"callers": 64, "settings": {"concurrency_limit": limit}, **row, "peak_mib": 160.0 + limit / 2}
            for limit in (2, 64)
        ],
        "messages": [{"at_once": 8, "settings": {"max_message_bytes": 2**20}, **row}],
        "sessions": [
            {"sessions": count, "canvas": 1024, "settings": {}, **row, "after_mib": 150.0 + 1.5 * count}
            for count in (1, 32)
        ],
    }
    content = {"environment": fingerprint(tmp_path), "command": "measure it", "figures": figures}
    (tmp_path / "sizing.json").write_text(json.dumps(content))
    text = page(tmp_path)
    assert "does nothing: 150 MiB." in text
    assert "An image in progress (`concurrency_limit`): 0.50 MiB." in text
    assert "up to 3.8 times the size of its message." in text
    assert "canvas of 1024 x 1024: 1.5 MiB." in text
    assert "A core makes at most 20 images a second." in text


def test_the_knee_says_how_the_client_ran(tmp_path: Path) -> None:
    row = {"rate": 16.0, "p50": 0.03, "p99": 0.05, "failed": 0, "counts": True}
    knee = {
        "rate": 16.0,
        "low": 15.0,
        "high": 18.0,
        "percent": 99.0,
        "seconds": 0.1,
        "errors": 0.001,
        "end": "found",
    }
    client = {"priority": "chrt --rr 1", "cores": 0.021, "lag_p99": 0.0004}
    measured = {"knee": knee, "rates": [row], "client": client}
    part = {"environment": fingerprint(tmp_path), "command": "measure it", "figures": measured}
    (tmp_path / "gateway.json").write_text(json.dumps({"knee": part}))
    text = page(tmp_path)
    assert "**16 requests a second** keep p99 at most 100 ms" in text
    assert "by `chrt --rr 1` before other processes; it took at most 2.1% of a core" in text
    assert "sent within 0.4 ms of when they were due" in text


def test_error_rates_are_shares_of_their_runs(tmp_path: Path) -> None:
    compared = {
        "case": "no change",
        "runs": 200,
        "worse": 0.005,
        "better": 0.0,
        "same": 0.1,
        "cannot_tell": 0.895,
    }
    knee = {"noise": 0.1, "runs": 200, "covered": 0.975, "width": 0.2}
    content = {"created": "2026-11-28", "command": "simulate it", "compare": [compared], "knee": [knee]}
    (tmp_path / "error_rates.json").write_text(json.dumps(content))
    text = page(tmp_path)
    assert "| no change | 200 | 0.5% | 0.0% | 10.0% | 89.5% |" in text
    assert "| 10% | 200 | 97.5% | 20% of the knee |" in text


def test_servers_that_leave_out_work_stand_beside_the_gateway(tmp_path: Path) -> None:
    def server(images: float, cpu: float) -> dict[str, object]:
        several = {"per_second": images, "cpu_ms_per_image": cpu, "client_cpu_ms_per_image": 0.9}
        return {"one": {"observed": {"p50": 12.0}}, "several": several}

    rounds = {
        "graphs alone": [server(100.0, 15.0), server(110.0, 14.0)],
        "grpc.aio, a constant image": [server(2000.0, 0.4), server(2000.0, 0.4)],
        "grpc.aio, graphs alone": [server(90.0, 16.0), server(88.0, 16.0)],
        "maskweave": [server(80.0, 17.0), server(88.0, 18.0)],
    }
    write_peers(tmp_path / "floor.json", {name: each[0] for name, each in rounds.items()}, 2, rounds=rounds)
    (tmp_path / "reached.md").write_text("Written by hand.\n")
    text = page(tmp_path)
    assert "| graphs alone | 12 | 100 |  | 15 |  | 0.9 |" in text
    assert "| grpc.aio, a constant image | 12 | 2000 |  | 0.4 | 0.40 | 0.9 |" in text
    assert "| grpc.aio, graphs alone | 12 | 90 | 0.85 (0.90 0.80) | 16 | 1.50 (1.00 2.00) | 0.9 |" in text
    assert "| maskweave | 12 | 80 | 0.80 (0.80 0.80) | 17 | 3.00 (2.00 4.00) | 0.9 |" in text
    assert "Written by hand." in text


def test_the_main_figures_and_every_section_stand_at_the_top(tmp_path: Path) -> None:
    first = {"seconds_to_first_image": [1.5, 2.5, 1.75], "seconds_to_ready": [1.0], "pss_mib": [100.0]}
    start = {**first, "resident_mib": [240.0, 230.0, 235.0]}
    part = {"environment": fingerprint(tmp_path), "command": "measure it", "figures": start}
    (tmp_path / "gateway.json").write_text(json.dumps({"start": part}))
    text = page(tmp_path)
    head, _, rest = text.partition("\n## Where the time goes\n")
    assert "| from the start of the process to the first image | 1.75 s | [Start and memory]" in head
    assert "| memory after the start | 235 MiB |" in head
    # Of parts that are not there, no row: the section says which command measures them.
    assert "images/s, with" not in head
    titles = re.findall(r"^## (.+)$", "## Where the time goes\n" + rest, re.MULTILINE)
    assert [title for title in titles if f"| [{title}](#" not in head] == ["Not measured"]
