"""What painting leaves behind in a page: memory, nodes and listeners, by the stroke."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.browser import Playground

# Undo keeps drawings up to a bound, and the page its latest latencies: a page at these bounds keeps no more.
_UNDO_STEPS = 200

MOST_BYTES_A_STROKE = 16 * 1024
"""What may be left of a stroke and is no leak: the browser's caches and code. An image has 12 KiB, and a
stroke brings several."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a page holds once its garbage has been collected.

    Attributes:
        heap_bytes: Objects, and the buffers that belong to them.
        nodes: Nodes of documents.
        listeners: Listeners for events.
    """

    heap_bytes: float
    nodes: float
    listeners: float


class Leftovers:
    """Paints on a page whose history is full, and compares what it holds.

    Args:
        tab: The page, with a drawing on it.
    """

    def __init__(self, tab: Playground) -> None:
        self._tab = tab
        self._session = tab.page.context.new_cdp_session(tab.page)
        self._session.send("Performance.enable")
        self._strokes = 0
        tab.page.locator(".surface").focus()
        tab.page.evaluate(
            "async (steps) => {"
            " const key = () => new KeyboardEvent('keydown', { key: ' ', bubbles: true, cancelable: true });"
            " for (let i = 0; i < steps; i++) {"
            "  document.activeElement.dispatchEvent(key());"
            "  if (i % 10 === 0) await new Promise(requestAnimationFrame);"
            " } }",
            _UNDO_STEPS,
        )
        tab.wait_until_live()

    def paint(self, strokes: int) -> None:
        """Paint so many strokes, each waited for."""
        for _ in range(strokes):
            self._strokes += 1
            y = 0.1 + 0.8 * (self._strokes % 20) / 20
            self._tab.stroke((0.1, y), (0.9, y), steps=10)

    def held(self) -> Held:
        """What the page holds now."""
        for _ in range(2):  # what the first lets go of may hold more
            self._session.send("HeapProfiler.collectGarbage")
        heap = self._session.send("Runtime.getHeapUsage")
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        counts = {each["name"]: each["value"] for each in metrics}
        buffers = heap.get("backingStorageSize", 0)
        return Held(heap["usedSize"] + buffers, counts["Nodes"], counts["JSEventListeners"])

    def complaints(self, before: Held, after: Held, strokes: int) -> list[str]:
        """What `strokes` strokes have left behind between the two, in words; empty if nothing."""
        told = []
        grown = (after.heap_bytes - before.heap_bytes) / strokes
        if grown > MOST_BYTES_A_STROKE:
            told.append(f"{grown / 1024:.1f} KiB of memory a stroke")
        # The strip of seeds and the messages come and go: a few, however many strokes there are.
        for name in ("nodes", "listeners"):
            more = getattr(after, name) - getattr(before, name)
            if more > strokes / 2:
                told.append(f"{more / strokes:.1f} {name} a stroke")
        return told
