"""How long strokes take to become pixels in a real browser, and where that time goes.

    python -m tests.web.stroke_latency [--moves N] [--url URL]

Paints at 60 moves a second on `faces64`. Every move that changes the drawing counts, from its own event
until the first image that has it is on the page's canvas ("drawn"), and until the browser has made the frame
that shows it ("shown"); the screen's own delay comes on top. Without a URL it starts a gateway on the shipped
models.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np

from tests.support.browser import chromium, playground
from tests.support.gateway_process import gateway_process
from tests.support.shipped import REPOSITORY

_RATE = 60
_WARM_UP = 60

# What the page does not tell by itself: when events are handled, updates sent, frames received and shown.
_WATCH = """
window.told = [];
const moments = new Map();
let current, received;
const seen = (event) => {
  current = event.timeStamp;
  if (!moments.has(current)) moments.set(current, { handled: performance.now() });
};
for (const kind of ["pointerdown", "pointermove", "pointerrawupdate"])
  addEventListener(kind, seen, { capture: true });
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  const moment = moments.get(current);
  if (moment) moment.sent ??= performance.now();
  send.call(this, data);
};
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", () => (received = performance.now()));
  }
};
addEventListener("maskweave:latency", ({ detail }) => {
  const drawn = performance.now();
  const at = drawn - detail.total;
  let moment;
  for (const [stamp, each] of moments) if (Math.abs(stamp - at) < 0.5) moment = each;
  const sample = { at, drawn, received, service: detail.service, ...moment };
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => told.push({ ...sample, shown: performance.now() });
    port2.postMessage(0);
  });
});
"""

_ROWS: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "event to handler": lambda each: each["handled"] - each["at"],
    "handler to WebSocket": lambda each: each["sent"] - each["handled"],
    "sent to received": lambda each: each["received"] - each["sent"],
    "  of these, the service": lambda each: each["service"],
    "received to drawn": lambda each: each["drawn"] - each["received"],
    "drawn to shown": lambda each: each["shown"] - each["drawn"],
    "stroke to drawn": lambda each: each["drawn"] - each["at"],
    "stroke to shown": lambda each: each["shown"] - each["at"],
}


def main() -> None:
    """Paint and print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moves", type=int, default=600)
    parser.add_argument("--url", help="HTTP port of a gateway that runs")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(gateway_process(REPOSITORY, fresh=True)).http
        told = _measure(stack, url, options.moves)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {len(told)} strokes of {options.moves} moves, ms")
    for name, value in _ROWS.items():
        p50, p95, p99 = np.percentile([value(each) for each in told], (50, 95, 99))
        print(f"{name:24} p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f}")


def _measure(stack: contextlib.ExitStack, url: str, moves: int) -> list[dict[str, float]]:
    tab = stack.enter_context(playground(stack.enter_context(chromium()), url))
    tab.page.add_init_script(_WATCH)
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
    told: list[dict[str, float]] = tab.page.evaluate("told")
    return [each for each in told if "sent" in each]


if __name__ == "__main__":
    main()
