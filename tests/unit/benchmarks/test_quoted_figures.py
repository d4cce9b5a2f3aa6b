"""Pages that people write repeat measured figures: they are those that lie beside docs/performance.md now."""

from __future__ import annotations

import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scenario_files import NEW_SEED, REPEATED_SEED
from service.app.settings import Settings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def figures(name: str) -> Any:
    """Of a file of docs/figures."""
    return json.loads((DOCS / "figures" / f"{name}.json").read_text())


def section(page: str, title: str) -> str:
    """Its text on one line."""
    text = (DOCS / page).read_text().partition(f"## {title}\n")[2].partition("\n##")[0]
    assert text
    return " ".join(text.split())


def test_the_images_of_a_core_are_those_that_were_measured() -> None:
    said, gateway = section("operations.md", "Size"), figures("gateway")
    core = max(row["outcomes"]["OK"] / row["cpu_seconds"] for row in figures("sizing")["figures"]["callers"])
    cores = gateway["knee"]["environment"]["machine"]["usable_cores"]
    knee = gateway["knee"]["figures"]["knee"]
    busy = gateway["overload"]["figures"]["rates"][0]
    assert f"a core made at most {core:.0f} images a second" in said
    assert f"within {knee['seconds'] * 1e3:.0f} ms up to {knee['rate']:.0f} requests a second" in said
    assert f"within {busy['p99'] * 1e3:.0f} ms at {busy['per_second']:.0f}" in said
    # "less than half of what a core makes where 100 ms matter, two thirds where 200 ms will do"
    assert knee["rate"] < cores * core / 2
    assert abs(busy["per_second"] / (cores * core) - 2 / 3) < 0.05
    assert abs(busy["p99"] - 0.2) < 0.02


def test_the_memory_of_a_replica_is_what_was_measured_and_fits_into_the_charts_limit() -> None:
    sizing = figures("sizing")["figures"]
    rows = [row for each in sizing.values() for row in each]
    idle = round(statistics.median(row["idle_mib"] for row in rows))
    large, one, many = sizing["messages"][-1], sizing["sessions"][0], sizing["sessions"][-1]
    messages = round(large["peak_mib"] - large["idle_mib"])
    session = (many["after_mib"] - one["after_mib"]) / (many["sessions"] - one["sessions"])
    sessions = round(many["sessions"] * session)
    cache = Settings.model_fields["response_cache_bytes"].default // 2**20
    whole = round((idle + cache + messages + sessions) * 4 / 3)
    said = f"{idle}, {cache}, next to nothing, {messages} and {sessions} MiB, {whole} MiB with the third"
    assert said in section("operations.md", "Size")
    values = yaml.safe_load((ROOT / "helm" / "maskweave" / "values.yaml").read_text())
    assert values["gateway"]["resources"]["limits"]["memory"] == "1Gi"
    assert max(whole, *(row["peak_mib"] for row in rows)) < 1024


def test_a_fleet_of_cpus_is_worked_out_from_the_knee() -> None:
    said = section("scale.md", "One region, the morning with the burst")
    knee = figures("gateway")["knee"]["figures"]["knee"]["rate"]
    highest = 8160
    assert f"up to {knee:.0f} requests a second" in said
    plain, roomy = (math.ceil(highest * each / knee) for each in (1, 1.26))
    assert f"{plain} such replicas with nothing to spare, {roomy} with 26 %" in said


def test_the_readme_says_how_long_an_image_takes() -> None:
    loads = figures("gateway")["stages"]["figures"]
    new, old = (round(loads[name]["p50"] * 1e3) for name in (NEW_SEED, REPEATED_SEED))
    said = f"{new} ms for an image of a new seed, {old} ms for another one of the same seed"
    assert said in (ROOT / "README.md").read_text()


def test_the_head_of_the_page_on_quality_repeats_figures_of_its_tables() -> None:
    title = "\n# Which measures had a part in the training\n"
    head, _, tables = (DOCS / "quality.md").read_text().partition(title)
    quoted = set(re.findall(r"(?<![\w.])\.\d{3}|\b\d\d?\.\d(?= of 255| dB)", head))
    rows = " ".join(line for line in tables.splitlines() if line.startswith("|"))
    assert len(quoted) > 15
    assert not {each for each in quoted if not re.search(rf"(?<![\w.]){re.escape(each)}(?!\d)", rows)}


def test_the_cards_of_the_packs_repeat_figures_of_the_page_on_quality() -> None:
    tables = (DOCS / "quality.md").read_text()
    for pack in ("faces64", "faces64_styles", "avatars128_styles"):
        card = (ROOT / "training" / "packs" / pack / "README.md").read_text()
        (figures_of_card,) = re.findall(r"^\| figures \| (.+?);? all of them", card, re.MULTILINE)
        quoted = re.findall(r"(?<![\w.])\.\d{3}", figures_of_card)
        assert len(quoted) >= 2
        assert not [each for each in quoted if each not in tables]
