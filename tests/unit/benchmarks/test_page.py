"""The performance page is made of what the figures beside it say."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.environment import fingerprint
from benchmarks.page import page


def test_the_peers_are_a_table_with_ratios(tmp_path: Path) -> None:
    def server(p50: float, images: float) -> dict[str, object]:
        one = {"observed": {"p50": p50, "p99": 2 * p50}}
        several = {"per_second": images, "cpu_ms_per_image": 11.5}
        return {"one": one, "several": several, "seconds_to_first_image": 1.25, "resident_mib": 321.0}

    figures = {
        "environment": fingerprint(tmp_path),
        "settings": {"rounds": 3, "clients": 8, "peers_serve": "the same graphs"},
        "notes": {"pip Triton": "a stand-in"},
        "median": {"maskweave": server(12.3, 90.0), "pip Triton": server(24.0, 60.0)},
    }
    (tmp_path / "peers.json").write_text(json.dumps(figures))
    text = page(tmp_path)
    assert "| maskweave | 12.3 | 24.6 | 90 | 1.00 | 11.5 | 1.25 | 321 |" in text
    assert "| pip Triton | 24 | 48 | 60 | 1.50 |" in text
    assert "- pip Triton: a stand-in" in text
    assert "Medians of 3 rounds" in text


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
