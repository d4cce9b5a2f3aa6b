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
    for part in ("stages", "kinds", "knee", "growth", "models", "overload", "start"):
        assert f"`python -m benchmarks.measure --part {part}`" in text
