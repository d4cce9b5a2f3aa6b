"""How long strokes take to become pixels in a real browser, from the pointer's event to the drawn image.

    python -m tests.web.stroke_latency [--moves N] [--url URL]

Paints at 60 moves a second on `faces64`. Every move that changes the drawing counts, from its own event
until the first image that has it is on the page's canvas; the screen's own delay comes on top. Without a URL
it starts a gateway on the shipped models.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import time
from datetime import UTC, datetime

import numpy as np

from tests.support.browser import chromium, playground
from tests.support.gateway_process import gateway_process
from tests.support.shipped import REPOSITORY

_RATE = 60
_WARM_UP = 60


def main() -> None:
    """Paint and print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moves", type=int, default=600)
    parser.add_argument("--url", help="HTTP port of a gateway that runs")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(gateway_process(REPOSITORY, fresh=True)).http
        totals, service = _measure(stack, url, options.moves)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {len(totals)} strokes, ms")
    for name, values in (("stroke to pixels", totals), ("of these, the service", service)):
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        print(f"{name:24} p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f}")


def _measure(stack: contextlib.ExitStack, url: str, moves: int) -> tuple[list[float], list[float]]:
    tab = stack.enter_context(playground(stack.enter_context(chromium()), url))
    tab.page.add_init_script(
        "window.told = []; addEventListener('maskweave:latency', ({detail}) => told.push(detail));"
    )
    tab.open()
    box = tab.page.locator(".surface").bounding_box()
    assert box
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.1)
    tab.page.mouse.down()
    began = time.perf_counter()
    for i in range(_WARM_UP + moves):
        if i == _WARM_UP:
            tab.page.evaluate("told.length = 0")
        angle = i / 40
        x, y = 0.5 + 0.38 * math.sin(angle), 0.45 - 0.35 * math.cos(angle)
        tab.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        time.sleep(max(0.0, began + (i + 1) / _RATE - time.perf_counter()))
    tab.page.mouse.up()
    tab.wait_until_live()
    told = tab.page.evaluate("told")
    return [each["total"] for each in told], [each["service"] for each in told]


if __name__ == "__main__":
    main()
