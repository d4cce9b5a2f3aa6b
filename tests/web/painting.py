"""Paints for a while in a real browser, and says what that leaves behind.

    python -m tests.web.painting [--minutes N]

Ten minutes by default, on a gateway on the shipped models that it starts; a line a minute, and exit status 1
if what a stroke leaves is more than the test of it allows, in the page or in the gateway.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.memory import resident_mib
from tests.support.browser import chromium, playground
from tests.support.gateway_process import gateway_process
from tests.support.leftovers import MOST_BYTES_A_STROKE, Held, Leftovers
from tests.support.shipped import REPOSITORY


def main() -> int:
    """Paint, and print what is held each minute."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with (
        gateway_process(REPOSITORY, fresh=True) as gateway,
        chromium() as browser,
        playground(browser, gateway.http) as tab,
    ):
        tab.open()
        leftovers = Leftovers(tab)
        leftovers.paint(60)
        before, resident_before = leftovers.held(), resident_mib(gateway.process.pid)
        _tell(0, 0, before, resident_before)
        strokes, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < 60 * minutes:
            minute = int(passed // 60)
            while int((time.monotonic() - began) // 60) == minute:
                leftovers.paint(5)
                strokes += 5
            after, resident = leftovers.held(), resident_mib(gateway.process.pid)
            _tell(minute + 1, strokes, after, resident)
        complaints = leftovers.complaints(before, after, strokes)
        grown = (resident - resident_before) * 2**20 / strokes
        if grown > MOST_BYTES_A_STROKE:
            complaints.append(f"{grown / 1024:.1f} KiB of the gateway's memory a stroke")
    print("; ".join(complaints) or "nothing is left behind")
    return bool(complaints)


def _tell(minute: int, strokes: int, held: Held, resident: float) -> None:
    print(
        f"{minute:3} min  {strokes:5} strokes  page {held.heap_bytes / 2**20:6.2f} MiB,"
        f" {held.nodes:.0f} nodes, {held.listeners:.0f} listeners  gateway {resident:.1f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
